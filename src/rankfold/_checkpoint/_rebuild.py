"""Which layers of a model must be replaced so that the tensors of a file fit, and by what."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from rankfold._checkpoint._layouts import AnyLayout, layout_of, leaf
from rankfold._errors import CheckpointError, RankfoldError
from rankfold.convert._replace import names_by_module
from rankfold.convert._rules import FORMATS, ConversionRule, reason_to_skip, rule_for
from rankfold.layers import FormatLayer

__all__ = ["Replacement", "replacements_for"]


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """A layer to put in the place of another.

    Arguments:
        names: all names of the place.
        old: the layer that is there.
        new: with room for the tensors of the file, and values that mean nothing.
    """

    names: list[str]
    old: nn.Module
    new: nn.Module


def replacements_for(
    model: nn.Module,
    layouts: Mapping[str, AnyLayout],
    tensors: Mapping[str, Tensor],
    path: str | os.PathLike[str],
) -> list[Replacement]:
    """New layers wherever the file holds a layer dense or along other modes than the model; nothing is changed.

    Layers of another shape are left out: that the file does not fit will be told with all other reasons.

    Raises:
        CheckpointError: a layer of the file that the model cannot have.
    """
    names = names_by_module(model)
    known = {name for aliases in names.values() for name in aliases}
    for name in layouts:
        if name not in known:
            raise CheckpointError(
                f"{path}: it holds a factorised layer {name[:80]!r}, which the model does not have; build the model "
                "that was saved."
            )
    modules = {name: module for module, aliases in names.items() for name in aliases}
    found = []
    for module, aliases in names.items():
        layout = layouts.get(aliases[0])
        if any(layouts.get(name) != layout for name in aliases):
            raise CheckpointError(
                f"{path}: layers {some_names(aliases)} are one in the model and differ in the file; build the model "
                "that was saved."
            )
        try:
            new = _new_layer(module, aliases, layout, tensors, modules)
        except RankfoldError as error:
            raise CheckpointError(f"{path}: layer {aliases[0]!r}: {error}") from error
        if new is not None:
            found.append(Replacement(aliases, module, new))
    _share(model, found, path)
    return found


def some_names(names: list[str]) -> str:
    """Two names of one thing."""
    return " and ".join(repr(name) for name in names[:2])


def _new_layer(
    module: nn.Module,
    names: list[str],
    layout: AnyLayout | None,
    tensors: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
) -> nn.Module | None:
    if isinstance(module, FormatLayer):
        if layout is None:
            return module.dense() if leaf(names[0], "weight") in tensors and names[0] else None
        if layout.form == layout_of(module).form or layout.shape != module.weight_shape:
            return None
        rule = _rule_in(layout.form[0], module)
        trains = module.leading.requires_grad
    elif layout is None:
        return None
    else:
        weight = module._parameters.get("weight")
        rule = rule_for(module, FORMATS[layout.form[0]].rules)
        reason = "it is not of a class that can be factorised"
        if rule is not None:
            reason = _reason(module, rule, names, modules)
        if rule is None or reason is not None or weight is None:
            raise CheckpointError(
                f"it is factorised in the file, but the model's cannot be: {reason}; build the model that was saved."
            )
        if tuple(weight.shape) != layout.shape:
            return None
        trains = weight.requires_grad
    options = None if rule is None else layout.options(rule)
    if rule is None or options is None:
        how = f"along modes {layout.form[1]}" if layout.form[0] == "tucker" else "as a TT-matrix"
        raise CheckpointError(
            f"it is factorised {how} in the file, which a {type(module).__name__} cannot be; build the model that was "
            "saved."
        )
    new = rule.layer.like(module, rank=1, **options)
    new.reserve(layout.ranks)
    for part in new.parts.values():
        part.requires_grad_(trains)
    return new


def _rule_in(format: str, layer: FormatLayer) -> ConversionRule | None:
    """How the dense layer that a layer stands for is written in a format."""
    names = [
        rule.name for entry in FORMATS.values() for rule in entry.rules.values() if rule.layer is type(layer)
    ]
    rules = FORMATS[format].rules
    return next((rules[name] for name in names if name in rules), None)


def _reason(
    module: nn.Module, rule: ConversionRule, names: list[str], modules: Mapping[str, nn.Module]
) -> str | None:
    if isinstance(module, nn.Embedding):
        # Whether its padding row is zero matters to whoever converts its values; these go.
        rule = replace(rule, reason=lambda _: None)
    for name in names:
        path, _, attribute = name.rpartition(".")
        reason = reason_to_skip(module, rule, modules[path] if name else None, attribute)
        if reason is not None:
            return reason
    return "it is the model itself and cannot be replaced in place" if "" in names else None


def _share(model: nn.Module, found: list[Replacement], path: str | os.PathLike[str]) -> None:
    """Let new layers share what the old ones do, and make sure that no other part of the model shares it too."""
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    replaced = {leaf(name, _weight(entry.old)) for entry in found for name in entry.names}
    first: dict[int, nn.Module] = {}
    for entry in found:
        shared = id(entry.old._parameters[_weight(entry.old)])
        other = first.setdefault(shared, entry.new)
        outside = [name for name in owners[shared] if name not in replaced]
        alike = isinstance(other, FormatLayer) == isinstance(entry.new, FormatLayer)
        if isinstance(other, FormatLayer) and isinstance(entry.new, FormatLayer):
            one, two = layout_of(other), layout_of(entry.new)
            alike = (one.form, one.ranks) == (two.form, two.ranks)
        if outside or not alike:
            raise CheckpointError(
                f"{path}: layer {entry.names[0]!r} shares its weight in the model with "
                f"{some_names(outside or owners[shared])}, and the file holds them in different forms; build the model "
                "that was saved."
            )
        if other is entry.new:
            continue
        if isinstance(other, FormatLayer) and isinstance(entry.new, FormatLayer):
            entry.new.share(other)
        else:
            entry.new.register_parameter("weight", other._parameters["weight"])


def _weight(module: nn.Module) -> str:
    return next(iter(module.parts)) if isinstance(module, FormatLayer) else "weight"

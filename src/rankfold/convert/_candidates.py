"""The layers of a model that a rule applies to, and which of them to leave alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from rankfold._registry import Registry
from rankfold.convert._replace import names_by_module
from rankfold.convert._rules import RULES, ConversionRule, reason_to_skip, rule_for
from rankfold.convert._select import Selector, selected
from rankfold.layers import FormatLayer

__all__ = ["Candidate", "convertible", "find_candidates"]


@dataclass(slots=True)
class Candidate:
    """A layer that a rule applies to.

    Arguments:
        module: the dense layer.
        names: all names it goes by in the model.
        rule: how its class is converted.
        reason: why it is left alone, or None.
        factorized: what takes its place.
    """

    module: nn.Module
    names: list[str]
    rule: ConversionRule
    reason: str | None
    factorized: FormatLayer | None = None

    @property
    def weight(self) -> Tensor | None:
        """Its dense weight, if it has one yet."""
        weight = self.module._parameters.get("weight")
        return None if isinstance(weight, nn.parameter.UninitializedParameter) else weight


def convertible(
    model: nn.Module,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    rules: Registry[ConversionRule] = RULES,
) -> list[Candidate]:
    """All layers that could be meant; those that are not to be converted have a reason."""
    candidates = find_candidates(model, rules)
    _apply_selectors(candidates, include, exclude)
    _apply_ties(model, candidates)
    return candidates


def find_candidates(model: nn.Module, rules: Registry[ConversionRule] = RULES) -> list[Candidate]:
    """All layers that could be meant, those that cannot be converted with the reason."""
    names = names_by_module(model)
    modules = {name: module for module, aliases in names.items() for name in aliases}
    found = []
    for module, aliases in names.items():
        rule = rule_for(module, rules)
        reason = None if rule is not None else f"this format has no layer for {type(module).__name__}"
        rule = rule or rule_for(module)
        if rule is None:
            continue
        for name in aliases:
            path, _, attribute = name.rpartition(".")
            parent = modules[path] if name else None
            reason = reason or reason_to_skip(module, rule, parent, attribute)
        if "" in aliases:
            reason = (
                reason or "it is the model itself and cannot be replaced in place: wrap it in nn.Sequential"
            )
        found.append(Candidate(module, aliases, rule, reason))
    return found


def _apply_selectors(
    candidates: list[Candidate],
    include: Selector | Sequence[Selector] | None,
    exclude: Selector | Sequence[Selector] | None,
) -> None:
    """Leave alone what is not included or is excluded."""
    named = [(name, candidate.module) for candidate in candidates for name in candidate.names]
    wanted = None if include is None else selected("include", include, named)
    unwanted = set() if exclude is None else selected("exclude", exclude, named)
    for candidate in candidates:
        if wanted is not None and not wanted & set(candidate.names):
            candidate.reason = "not included"
        elif unwanted & set(candidate.names):
            candidate.reason = "excluded"


def _apply_ties(model: nn.Module, candidates: list[Candidate]) -> None:
    """A shared weight is converted in all its places or in none."""
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    convertible = {
        f"{name}.weight" for candidate in candidates if candidate.reason is None for name in candidate.names
    }
    for candidate in candidates:
        if candidate.reason is None:
            others = [name for name in owners[id(candidate.weight)] if name not in convertible]
            if others:
                candidate.reason = f"shares its weight with {others[0]}, which is not converted"

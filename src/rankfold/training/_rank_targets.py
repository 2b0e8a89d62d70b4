"""Which layers are meant, and the ranks they shall have."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from rankfold._errors import RankError, SelectorError
from rankfold.convert import factorized_layers
from rankfold.convert._select import selected
from rankfold.formats import checked_ranks
from rankfold.layers import FactorizedLayer
from rankfold.ranks import as_rule

__all__ = ["rank_targets"]


def rank_targets(model: nn.Module, ranks: Any) -> dict[str, tuple[FactorizedLayer, tuple[int, ...]]]:
    """The layers to change, by the first of their names, with one rank per factorised mode.

    Arguments:
        model: a model with factorised layers.
        ranks: as of :func:`rankfold.set_ranks`.

    Raises:
        SelectorError: no factorised layer, or a selector that matches none.
        RankError: ranks that a layer cannot have, or two that differ for one shared weight.
        OptionError: what is neither ranks nor policy.
    """
    first = {id(layer.core): name for name, layer in factorized_layers(model)}
    if not first:
        raise SelectorError(
            "set_ranks: the model has no factorised layer; call rankfold.factorize(model) first."
        )
    named = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FactorizedLayer)
    ]
    wanted: dict[str, Any] = {}
    for selector, value in (ranks if isinstance(ranks, Mapping) else {".*": ranks}).items():
        wanted |= dict.fromkeys(selected("set_ranks", selector, named), value)
    targets: dict[str, tuple[FactorizedLayer, tuple[int, ...]]] = {}
    for name, layer in named:
        if name in wanted:
            chosen = _checked(name, layer, wanted[name])
            owner = first[id(layer.core)]
            _, other = targets.setdefault(owner, (layer, chosen))
            if other != chosen:
                raise RankError(
                    f"set_ranks: layers {owner!r} and {name!r} share their weight, got ranks {other} and {chosen}; "
                    "pass the same for both, or name one of them."
                )
    return targets


def _checked(name: str, layer: FactorizedLayer, wanted: Any) -> tuple[int, ...]:
    where, shape, modes = f"set_ranks: layer {name!r}", layer.weight_shape, layer.modes
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        policy: Any = wanted
        wanted = as_rule("set_ranks", policy)(shape, modes)
    elif len(wanted) == len(shape) != len(modes):
        # All dimensions of the core, as layers and records give them.
        if any(wanted[mode] != shape[mode] for mode in range(len(shape)) if mode not in modes):
            raise RankError(
                f"{where}: got ranks {tuple(wanted)} for a weight of shape {shape}; only modes {modes} are factorised, "
                "leave the others as they are."
            )
        wanted = [wanted[mode] for mode in modes]
    return checked_ranks(where, wanted, shape, modes)

"""One budget of parameters over all layers: what it may be, and how it comes."""

from collections.abc import Iterable

from rankfold._errors import OptionError
from rankfold.formats import feasible_ranks, parameters_at
from rankfold.layers import FactorizedLayer

__all__ = ["budget_at", "check_budget", "size_of"]


def size_of(layers: Iterable[FactorizedLayer]) -> int:
    """Numbers in the cores and factors of layers."""
    return sum(layer.tucker.num_parameters for layer in layers)


def budget_at(step: int, budget: int | None, first: int, warmup: int) -> int | None:
    """The budget of a step: from the first size it falls linearly over the warm-up.

    Example:
        >>> [budget_at(step, 100, 180, 4) for step in range(6)]
        [180, 160, 140, 120, 100, 100]
    """
    if budget is None or step >= warmup:
        return budget
    return budget + max(first - budget, 0) * (warmup - step) // warmup


def check_budget(
    budget: int | None, layers: Iterable[FactorizedLayer], min_rank: int, *, adaptive: bool
) -> None:
    """Raise OptionError for a budget that no truncation can meet."""
    if budget is None:
        return
    if not adaptive:
        raise OptionError(
            "TDLRT: parameter_budget is for integrators that change ranks, got a fixed one; leave it out, or set the "
            "ranks with set_ranks."
        )
    least = 0
    for layer in layers:
        core = list(layer.weight_shape)
        for mode in layer.modes:
            core[mode] = min(min_rank, core[mode])
        for mode, rank in zip(layer.modes, feasible_ranks(core, layer.modes), strict=True):
            core[mode] = rank
        least += parameters_at(layer.weight_shape, layer.modes, core)
    if budget < least:
        raise OptionError(
            f"TDLRT: parameter_budget is {budget:,}, but at min_rank={min_rank} the layers have {least:,} parameters; "
            "allow at least as many."
        )

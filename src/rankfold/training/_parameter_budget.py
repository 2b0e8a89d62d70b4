"""One budget of parameters over all layers: what a truncation leaves beyond it goes where it carries least."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

import torch

from rankfold._errors import OptionError
from rankfold.formats import feasible_ranks, truncate_cores
from rankfold.layers import FactorizedLayer
from rankfold.linalg import HOSVD

__all__ = ["budget_at", "check_budget", "parameters_at", "size_of", "within_budget"]

Modes = tuple[int, ...]


def parameters_at(shape: Sequence[int], modes: Modes, core: Sequence[int]) -> int:
    """Numbers in core and factors of a Tucker weight.

    Example:
        >>> parameters_at((20, 10), (0, 1), (2, 2))
        64
    """
    return prod(core) + sum(shape[mode] * core[mode] for mode in modes)


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


def within_budget(
    results: Sequence[HOSVD],
    shapes: Sequence[Sequence[int]],
    modes: Sequence[Modes],
    budget: int,
    *,
    min_rank: int,
    quantum: int,
) -> list[HOSVD]:
    """Cut truncated cores further until all layers together have at most so many parameters.

    The directions that go are those with the least energy (squared singular value) per parameter saved, one after
    the other over all layers and modes. For matrices with equal shapes this sorts all singular values.

    Arguments:
        results: truncated cores in HOSVD form.
        shapes, modes: of the weights.
        budget: of parameters in cores and factors.
        min_rank: no mode is cut below it.
        quantum: ranks that are multiples of it stay so.

    Returns:
        As :func:`rankfold.formats.truncate_cores`; the ranks that the tolerance demanded are still those of before.

    Reference:
        Schotthöfer et al. 2025, "GeoLoRA: Geometric integration for parameter efficient fine-tuning" (global budget).
    """
    sizes = [list(result.core.shape) for result in results]
    spent = sum(map(parameters_at, shapes, modes, sizes))
    if spent <= budget:
        return list(results)
    energies = _energies(results)
    moves: list[tuple[float, int, int, list[int]]] = []

    def offer(layer: int) -> None:
        """The move of a layer that costs least energy per parameter."""
        best = None
        for mode in modes[layer]:
            rank = sizes[layer][mode]
            lower = max((rank - 1) // quantum * quantum, min(min_rank, rank))
            if lower < rank:
                after = _feasible(sizes[layer], modes[layer], mode, lower)
                if any(after[m] < min(min_rank, sizes[layer][m]) for m in modes[layer]):
                    continue
                saved = parameters_at(shapes[layer], modes[layer], sizes[layer]) - parameters_at(
                    shapes[layer], modes[layer], after
                )
                price = sum(energies[layer][mode][lower:rank]) / saved
                if best is None or price < best[0]:
                    best = (price, layer, saved, after)
        if best is not None:
            heapq.heappush(moves, best)

    for layer in range(len(results)):
        offer(layer)
    while spent > budget and moves:
        _, layer, saved, after = heapq.heappop(moves)
        sizes[layer] = after
        spent -= saved
        offer(layer)
    return _cut(results, modes, sizes)


def _energies(results: Sequence[HOSVD]) -> list[dict[int, list[float]]]:
    """Squared singular values of every mode; those of all layers come to the host together."""
    places = [(index, mode) for index, result in enumerate(results) for mode in result.spectra]
    spectra = [results[index].spectra[mode].double().cpu().square() for index, mode in places]
    lengths = [len(spectrum) for spectrum in spectra]
    parts = torch.cat(spectra).split(lengths)
    found: list[dict[int, list[float]]] = [{} for _ in results]
    for (index, mode), part in zip(places, parts, strict=True):
        found[index][mode] = part.tolist()
    return found


def _feasible(core: Sequence[int], modes: Modes, mode: int, rank: int) -> list[int]:
    """The core after one mode was cut: no rank exceeds the product of the others, which loses nothing."""
    after = list(core)
    after[mode] = rank
    for which, value in zip(modes, feasible_ranks(after, modes), strict=True):
        after[which] = value
    return after


def _cut(results: Sequence[HOSVD], modes: Sequence[Modes], sizes: Sequence[Sequence[int]]) -> list[HOSVD]:
    final = list(results)
    smaller = [index for index, result in enumerate(results) if list(result.core.shape) != list(sizes[index])]
    again = truncate_cores(
        [results[index].core for index in smaller],
        [modes[index] for index in smaller],
        ranks=[tuple(sizes[index][mode] for mode in modes[index]) for index in smaller],
    )
    for index, second in zip(smaller, again, strict=True):
        first = results[index]
        final[index] = replace(
            first,
            core=second.core,
            bases={
                mode: first.bases[mode] @ second.bases[mode].to(first.bases[mode]) for mode in first.bases
            },
            error=torch.hypot(first.error, second.error.to(first.error)),
        )
    return final

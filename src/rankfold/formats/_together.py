"""Tucker values that have at most so many parameters together: what carries least goes first."""

import heapq
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch

from rankfold.formats._shapes import feasible_ranks
from rankfold.formats._truncation import truncate_cores
from rankfold.formats._tucker import Tucker
from rankfold.linalg import HOSVD, product

__all__ = ["cut_together", "parameters_at", "within_budget"]

Modes = tuple[int, ...]


def parameters_at(shape: Sequence[int], modes: Modes, core: Sequence[int]) -> int:
    """Numbers in core and factors of a Tucker weight.

    Example:
        >>> parameters_at((20, 10), (0, 1), (2, 2))
        64
    """
    return prod(core) + sum(shape[mode] * core[mode] for mode in modes)


def cut_together(values: Sequence[Tucker], parameters: int) -> list[Tucker]:
    """Cut Tucker tensors until all together have at most so many parameters, or rank 1 everywhere.

    Arguments:
        values: at any ranks.
        parameters: of all of them.

    Returns:
        Values with orthonormal factors, of the same dtypes; see :func:`within_budget` for what goes.

    Example:
        >>> import torch
        >>> value = Tucker(torch.diag(torch.tensor([3.0, 2.0, 1.0])), (torch.eye(8, 3), torch.eye(6, 3)))
        >>> [cut.ranks for cut in cut_together([value], 40)]  # 2² + 2 (8 + 6) is 32, 3² + 3 (8 + 6) is 51
        [(2, 2)]
    """
    orthonormal = [value.orthonormalize() for value in values]
    modes = [value.modes for value in orthonormal]
    results = within_budget(
        truncate_cores([value.core for value in orthonormal], modes, tolerance=0.0),
        [value.shape for value in orthonormal],
        modes,
        parameters,
        min_rank=1,
        quantum=1,
    )
    return [
        Tucker(
            result.core,
            tuple(
                None if factor is None else product(factor, result.bases[mode])
                for mode, factor in enumerate(value.factors)
            ),
        )
        for value, result in zip(orthonormal, results, strict=True)
    ]


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

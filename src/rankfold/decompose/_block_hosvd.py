"""Sequentially truncated HOSVD of a tensor that is read block by block.

Axes: n_i dimensions, r_i ranks. The Gram matrix of a mode that is not cut is a sum over blocks; so the cut mode comes
last, when the tensor has become a matrix ``(n, prod r)`` that every worker can hold.
"""

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from rankfold.decompose._blocks import Blocks
from rankfold.linalg import HOSVD, mode_gram, mode_project, unfold
from rankfold.linalg._spectrum import gram_singular, left_singular, method_for, rank_floor

__all__ = ["block_hosvd", "projected", "projection"]


def block_hosvd(
    blocks: Blocks,
    modes: tuple[int, ...],
    norm: float,
    *,
    tolerance: float | None = None,
    ranks: tuple[int, ...] | None = None,
) -> HOSVD:
    """As :func:`rankfold.linalg.sequential_hosvd`, with one pass over the tensor for each mode.

    Arguments:
        blocks: the tensor.
        modes: the modes to treat, in this order; the cut mode can only be the last of them.
        norm: its Frobenius norm.
        tolerance: relative Frobenius error over all modes together.
        ranks: instead of a tolerance, the rank of each mode.

    Returns:
        The same on all workers; core and bases are in float64.
    """
    floor = rank_floor(torch.empty(blocks.shape, dtype=blocks.dtype, device="meta"))
    budget = (max(tolerance or 0.0, floor) * norm) ** 2
    exact = ranks is None and method_for(tolerance) == "svd"
    bases: dict[int, Tensor] = {}
    spectra: dict[int, Tensor] = {}
    kept: dict[int, int] = {}
    core: Tensor | None = None
    for position, mode in enumerate(modes):
        size = blocks.shape[mode]
        wanted = None if ranks is None else ranks[position]
        columns = prod(
            kept.get(other, blocks.shape[other]) for other in range(len(blocks.shape)) if other != mode
        )
        if mode == blocks.cut:
            core = projected(blocks, bases)
            matrix, method = unfold(core, mode), "svd" if exact else "gram"
            square = wanted is not None and wanted > min(size, columns)
            vectors, values = left_singular(matrix, method, square=square)
        elif exact:
            triangle = _triangle(blocks, bases, mode)
            vectors, values = left_singular(triangle.mT, "svd")
        else:
            vectors, values = gram_singular(_gram(blocks, bases, mode))
        tails = values.square().flip(-1).cumsum(-1).flip(-1)
        if wanted is not None:
            rank = wanted
        else:
            share = budget if _two_modes(blocks, modes) else budget / (len(modes) - position)
            rank = max(int((tails > share).sum()), 1)
            budget = budget - (float(tails[rank]) if rank < len(tails) else 0.0)
        bases[mode], spectra[mode], kept[mode] = vectors[:, :rank], values, rank
    core = projected(blocks, bases) if core is None else mode_project(core, bases[blocks.cut].mT, blocks.cut)
    lost = max(norm**2 - float(torch.linalg.vector_norm(core)) ** 2, 0.0) ** 0.5
    return HOSVD(core, bases, spectra, torch.tensor(lost, dtype=torch.float64), kept)


def projected(blocks: Blocks, bases: Mapping[int, Tensor]) -> Tensor:
    """``x x_i U_iᵀ`` over the given modes, float64, whole on every worker; it must be small."""
    sizes = [bases[mode].shape[1] if mode in bases else size for mode, size in enumerate(blocks.shape)]
    others = {mode: basis for mode, basis in bases.items() if mode != blocks.cut}

    def work() -> list[Tensor]:
        result = torch.zeros(sizes, dtype=torch.float64)
        for rows, block in blocks.slabs():
            part = projection(block, others).double()
            if blocks.cut in bases:
                result += mode_project(part, bases[blocks.cut][rows].mT, blocks.cut)
            else:
                result.narrow(blocks.cut, rows.start, rows.stop - rows.start).copy_(part)
        return [result]

    return blocks.summed(list(bases.values()), work)[0]


def _gram(blocks: Blocks, bases: Mapping[int, Tensor], mode: int) -> Tensor:
    """Gram matrix of the unfolding of the projected tensor, ``(n, n)``."""

    def work() -> list[Tensor]:
        result = torch.zeros(blocks.shape[mode], blocks.shape[mode], dtype=torch.float64)
        for _, block in blocks.slabs():
            result += mode_gram(projection(block, bases), mode)
        return [result]

    return blocks.summed(list(bases.values()), work)[0]


def _triangle(blocks: Blocks, bases: Mapping[int, Tensor], mode: int) -> Tensor:
    """The triangle R of a QR decomposition of the transposed unfolding, which squares nothing.

    Reference:
        Demmel, Grigori, Hoemmen and Langou 2012, "Communication-optimal parallel and sequential QR and LU
        factorizations", section 3.
    """
    size, workers = blocks.shape[mode], blocks.workers

    def work() -> list[Tensor]:
        own = torch.zeros(size, size, dtype=torch.float64)
        for _, block in blocks.slabs():
            rows = unfold(projection(block, bases), mode).mT.double()
            own = _upper(torch.cat([own, rows]))
        every = own.new_zeros(workers.count, size, size)
        every[workers.rank] = own
        return [every]

    (every,) = blocks.summed(list(bases.values()), work)
    return every[0] if workers.count == 1 else _upper(every.flatten(0, 1))


def _upper(matrix: Tensor) -> Tensor:
    return torch.linalg.qr(matrix, mode="r").R


def projection(block: Tensor, bases: Mapping[int, Tensor]) -> Tensor:
    """A block in the coordinates of some modes, those that shrink it most first."""
    for mode in _by_reduction(bases):
        block = mode_project(block, bases[mode].mT.to(block.dtype), mode)
    return block


def _by_reduction(bases: Mapping[int, Tensor]) -> Sequence[int]:
    return sorted(bases, key=lambda mode: bases[mode].shape[1] / bases[mode].shape[0])


def _two_modes(blocks: Blocks, modes: tuple[int, ...]) -> bool:
    """A matrix has one spectrum only, whose tail may take the whole budget."""
    active = [mode for mode in modes if blocks.shape[mode] > 1]
    return len(active) == 2 and prod(blocks.shape) == blocks.shape[active[0]] * blocks.shape[active[1]]

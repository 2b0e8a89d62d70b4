"""Leading subspaces of unfoldings, and the sequentially truncated HOSVD at given ranks.

Axes: n_i dimensions, r_i ranks.
"""

from collections.abc import Callable, Sequence
from math import inf

import torch
from torch import Tensor

from rankfold.linalg import mode_correlate, mode_gram, mode_project, orthonormalize, spectrum_dtype, unfold

__all__ = ["leading_basis", "mode_order", "randomized_basis", "st_hosvd"]

# Choices of this library: a float32 Gram matrix is tried from so many entries on, and kept where its rounding raises
# the squared error by less than this share.
_LARGE = 1 << 20
_HARMLESS = 1e-6
# Halko, Martinsson and Tropp 2011, sections 1.3 and 4.5: ten more columns than asked for, and one power step where
# the spectrum decays slowly.
_OVERSAMPLING = 10
_POWER_STEPS = 1

Basis = Callable[[Tensor, int, int], Tensor]


def mode_order(shape: Sequence[int], ranks: Sequence[int]) -> list[int]:
    """The order of modes with the fewest operations: cheap ones that leave little come first.

    Mode i costs ``n_i + r_i`` per entry of what is left and leaves the share ``r_i / n_i``; by exchanging neighbours,
    the best order is that of cost by share removed.
    """
    ratios = [(n + r) / (1 - r / n) if r < n else inf for n, r in zip(shape, ranks, strict=True)]
    return sorted(range(len(shape)), key=lambda mode: ratios[mode])


def st_hosvd(
    tensor: Tensor, ranks: Sequence[int], order: Sequence[int], basis: Basis
) -> tuple[Tensor, list[Tensor]]:
    """Project mode after mode on its leading subspace; the core and one basis (n_i, r_i) per mode."""
    work = tensor
    bases = [torch.empty(0)] * tensor.ndim
    for mode in order:
        size, rank = work.shape[mode], ranks[mode]
        if rank == size:
            bases[mode] = torch.eye(size, dtype=tensor.dtype, device=tensor.device)
            continue
        bases[mode] = basis(work, mode, rank)
        work = mode_project(work, bases[mode].mT, mode)
    return work, bases


def leading_basis(tensor: Tensor, mode: int, rank: int) -> Tensor:
    """The r leading left singular vectors (n, r) of an unfolding (n, N) with r < n and r <= N."""
    size = tensor.shape[mode]
    if size * size > tensor.numel():
        # The unfolding is tall: the smaller Gram matrix is that of its columns, and QR restores orthogonality.
        rows = unfold(tensor, mode).to(spectrum_dtype(tensor))
        _, right = torch.linalg.eigh(rows.mT @ rows)
        return orthonormalize(rows @ right.flip(-1)[:, :rank]).to(tensor.dtype)
    if _float32_pays(tensor):
        squares, vectors = torch.linalg.eigh(mode_gram(tensor, mode, dtype=torch.float32))
        if _is_harmless(squares.flip(-1), rank):
            return vectors.flip(-1)[:, :rank].to(tensor.dtype).contiguous()
    _, vectors = torch.linalg.eigh(mode_gram(tensor, mode))
    return vectors.flip(-1)[:, :rank].to(tensor.dtype).contiguous()


def randomized_basis(generator: torch.Generator) -> Basis:
    """The same subspace from a few random combinations of columns, improved by a power step.

    Reference:
        Halko, Martinsson and Tropp 2011, "Finding structure with randomness", algorithm 4.4.
    """

    def basis(tensor: Tensor, mode: int, rank: int) -> Tensor:
        size = tensor.shape[mode]
        width = min(rank + _OVERSAMPLING, size)
        if width * size > tensor.numel():
            return leading_basis(tensor, mode, rank)
        shape = [*tensor.shape[:mode], width, *tensor.shape[mode + 1 :]]
        sketch = torch.randn(shape, generator=generator, dtype=tensor.dtype).to(tensor.device)
        columns = orthonormalize(mode_correlate(tensor, sketch, mode))
        for _ in range(_POWER_STEPS):
            columns = orthonormalize(mode_correlate(tensor, mode_project(tensor, columns.mT, mode), mode))
        inner = leading_basis(mode_project(tensor, columns.mT, mode), mode, rank)
        return columns @ inner

    return basis


def _float32_pays(tensor: Tensor) -> bool:
    """On processors float32 products take less than half the time; a lowered precision setting would spoil them."""
    return (
        tensor.device.type == "cpu"
        and tensor.numel() >= _LARGE
        and torch.get_float32_matmul_precision() == "highest"
    )


def _is_harmless(squares: Tensor, rank: int) -> bool:
    """Whether rounding of a float32 Gram matrix costs next to nothing beside what the rank leaves out anyway.

    An error of norm e turns the leading subspace by at most ``e / gap`` and so raises the squared error by at most
    ``e² / gap`` (Davis and Kahan 1970, and the second order of the Rayleigh quotient).
    """
    # Sums in float32 over a block round to a small multiple of eps of the trace.
    rounding = 2 * torch.finfo(torch.float32).eps * squares.sum()
    gap = squares[rank - 1] - squares[rank]
    tail = squares[rank:].clamp_min(0).sum()
    return bool((tail > 4 * rounding) & (rounding**2 <= _HARMLESS * gap * tail))

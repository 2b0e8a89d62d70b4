"""Finer and coarser grids of a tensor train: an isometry turns one mode into two, and back.

Axes: t of a coarse mode, s and u of the two fine modes; a, m, b bonds.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.linalg import left_singular, spectrum_dtype

__all__ = ["coarsened", "haar_isometry", "refined"]


def haar_isometry(dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
    """The isometry that takes the features of two neighbouring samples to those of their scaled sum.

    With ``phi(x) = (1, x)``, ``U (phi(x_1) o phi(x_2)) = phi((x_1 + x_2) / sqrt(2))`` exactly, the low-pass half of a
    Haar wavelet transform.

    Arguments:
        dtype, device: of the result.

    Returns:
        ``(2, 2, 2)``: coarse, first fine, second fine; orthonormal as a ``2 x 4`` matrix.

    Reference:
        Reyes and Stoudenmire 2020, "A multi-scale tensor network architecture for classification and regression".

    Example:
        >>> import torch
        >>> phi = torch.tensor([[1.0, 3.0], [1.0, 5.0]])
        >>> torch.einsum("tsu,s,u->t", haar_isometry(torch.float32), *phi) * torch.tensor([1, 2**0.5])
        tensor([1.0000, 8.0000])
    """
    isometry = torch.zeros(2, 2, 2, dtype=dtype, device=device)
    isometry[0, 0, 0] = 1.0
    isometry[1, 1, 0] = isometry[1, 0, 1] = 0.5**0.5
    return isometry


def refined(cores: Sequence[Tensor], isometry: Tensor, modes: Collection[int]) -> list[Tensor]:
    """Cores of the train in which each of some modes t is two modes s, u with ``x_su = sum_t x_t U_tsu``."""
    result = []
    for mode, core in enumerate(cores):
        if mode not in modes:
            result.append(core)
            continue
        if isometry.ndim != 3 or core.shape[1] != isometry.shape[0]:
            raise ShapeError(
                f"TT.refine: mode {mode} has size {core.shape[1]}, the isometry {tuple(isometry.shape)}; pass one of "
                "shape (size, first fine size, second fine size)."
            )
        result += _split(torch.einsum("atb,tsu->asub", core, isometry.to(core)))
    return result


def coarsened(cores: Sequence[Tensor], isometry: Tensor, modes: Collection[int]) -> list[Tensor]:
    """Cores of the train in which modes k and k+1, for each of some k, are one: ``x_t = sum_su U_tsu x_su``."""
    result, mode = [], 0
    while mode < len(cores):
        if mode not in modes:
            result.append(cores[mode])
            mode += 1
            continue
        pair = cores[mode : mode + 2]
        sizes = tuple(core.shape[1] for core in pair)
        if isometry.ndim != 3 or len(pair) < 2 or sizes != tuple(isometry.shape[1:]) or mode + 1 in modes:
            raise ShapeError(
                f"TT.coarsen: modes {mode} and {mode + 1} have the sizes {sizes}, the isometry "
                f"{tuple(isometry.shape)}; pass one of shape (coarse size, first size, second size), and no mode "
                "in two pairs."
            )
        result.append(torch.einsum("asm,mub,tsu->atb", *pair, isometry.to(pair[0])))
        mode += 2
    return result


def _split(pair: Tensor) -> list[Tensor]:
    """Two cores for a tensor ``(a, s, u, b)``, with the singular values shared between both."""
    a, s, u, b = pair.shape
    matrix = pair.reshape(a * s, u * b)
    work = matrix.to(spectrum_dtype(matrix))
    vectors, values = left_singular(work, "svd")
    rounding = 4 * torch.finfo(matrix.dtype).eps * max(matrix.shape) ** 0.5
    kept = max(int((values > rounding * values[:1]).sum()), 1)
    basis = vectors[:, :kept]
    root = values[:kept].sqrt()
    rest = basis.mT @ work
    # Rows of the rest have the length of their singular value; a value of zero keeps its basis, which can train.
    scale = torch.where(root > 0, root, 1.0)
    first, second = basis * scale, rest / scale[:, None]
    return [first.to(pair.dtype).reshape(a, s, kept), second.to(pair.dtype).reshape(kept, u, b)]

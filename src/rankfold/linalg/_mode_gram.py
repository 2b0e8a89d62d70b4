"""Gram matrices and projections along one mode that read a contiguous tensor as it lies, without an unfolded copy.

Axes: n rows of the mode, N columns of its unfolding; a contiguous tensor is ``(before, n, after)``.
"""

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from rankfold.linalg._gemm import product
from rankfold.linalg._precision import spectrum_dtype

__all__ = ["mode_correlate", "mode_gram", "mode_project"]

# Choices of this library. Blocks of 2 MB stay in the cache of a processor while they are converted and multiplied; a
# GPU wants large ones.
_ENTRIES = 1 << 18
_ENTRIES_ON_A_GPU = 1 << 25
# Below the diagonal a Gram matrix repeats itself; from this size on a strip of it is worth a call of its own.
_STRIP = 50


def mode_gram(tensor: Tensor, mode: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The Gram matrix ``Mat(x) Mat(x)ᵀ`` of an unfolding.

    Arguments:
        tensor: any shape; copied only where it is not contiguous.
        mode: the mode.
        dtype: precision of the products within blocks of columns; None is that of spectra (float64).

    Returns:
        ``(n, n)``, summed over the blocks in the precision of spectra.

    Example:
        >>> import torch
        >>> mode_gram(torch.ones(2, 3, 4), 1).tolist()[0]
        [8.0, 8.0, 8.0]
    """
    exact = spectrum_dtype(tensor)
    size = tensor.shape[mode]
    gram = torch.zeros(size, size, dtype=exact, device=tensor.device)
    if dtype not in (None, exact):
        for block in _columns(tensor, mode, _width(tensor, mode)):
            part = block.to(dtype)
            gram += product(part, part.mT)
        return gram
    strip = max(-(-size // 4), _STRIP)
    for block in _columns(tensor, mode, _width(tensor, mode)):
        part = block.to(exact)
        for start in range(0, size, strip):
            stop = min(start + strip, size)
            gram[start:stop, :stop].addmm_(part[start:stop], part[:stop].mT)
    return gram.tril() + gram.tril(-1).mT


def mode_correlate(a: Tensor, b: Tensor, mode: int) -> Tensor:
    """Inner products of all pairs of slices, ``Mat(a) Mat(b)ᵀ``.

    Arguments:
        a, b: of equal shape but for the mode, and of one dtype.
        mode: the mode.

    Returns:
        ``(a.shape[mode], b.shape[mode])``.

    Example:
        >>> import torch
        >>> mode_correlate(torch.ones(2, 3, 4), torch.ones(2, 1, 4), 1).tolist()
        [[8.0], [8.0], [8.0]]
    """
    result = torch.zeros(a.shape[mode], b.shape[mode], dtype=a.dtype, device=a.device)
    width = _width(a, mode)
    for left, right in zip(_columns(a, mode, width), _columns(b, mode, width), strict=True):
        result += product(left, right.mT)
    return result


def mode_project(tensor: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """Multiply every mode-``mode`` fibre by a matrix.

    Arguments:
        tensor: any shape; copied only where it is not contiguous.
        matrix: ``(m, n)``.
        mode: the mode.

    Returns:
        A contiguous tensor with m in place of n.

    Example:
        >>> import torch
        >>> mode_project(torch.ones(2, 3, 4), torch.ones(1, 3), 1).shape
        torch.Size([2, 1, 4])
    """
    view = _view(tensor, mode)
    before, _, after = view.shape
    if after == 1:
        # With the small operand on the left the product is nearly twice as fast as the other way round; block by
        # block, so that its transpose does not exist beside the result.
        rows = _width(tensor, mode)
        result = view.new_empty(before, matrix.shape[0])
        for block, part in zip(view[:, :, 0].split(rows), result.split(rows), strict=True):
            part.copy_(product(matrix.contiguous(), block.mT).mT)
    elif before == 1:
        result = product(matrix.contiguous(), view[0])
    else:
        result = torch.matmul(matrix, view)
    return result.reshape(*tensor.shape[:mode], matrix.shape[0], *tensor.shape[mode + 1 :])


def _view(tensor: Tensor, mode: int) -> Tensor:
    shape = tensor.shape
    return tensor.contiguous().view(prod(shape[:mode]), shape[mode], prod(shape[mode + 1 :]))


def _width(tensor: Tensor, mode: int) -> int:
    """Columns per block."""
    entries = _ENTRIES if tensor.device.type == "cpu" else _ENTRIES_ON_A_GPU
    return max(entries // tensor.shape[mode], 1)


def _columns(tensor: Tensor, mode: int, width: int) -> Iterator[Tensor]:
    """The unfolding (n, N) in blocks of about so many columns; their order depends on the other modes only."""
    view = _view(tensor, mode)
    before, size, after = view.shape
    if before == 1 or after >= width:
        for slab in view:
            yield from slab.split(width, dim=1)
        return
    for slabs in view.split(max(width // after, 1)):
        yield slabs[:, :, 0].mT if after == 1 else slabs.movedim(1, 0).reshape(size, -1)

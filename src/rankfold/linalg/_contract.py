"""Products of whole tensors along their modes, laid out so that each is one matrix product without a copy.

Convolution cores lie in memory with mode 1 last (channels last); then modes 0 and 1 are the outer axes of a matrix,
and products along either read the tensor as it lies. Other layouts are brought to this one first, so results do not
depend on how the input was stored.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from rankfold.linalg._gemm import product

__all__ = ["mode_inner", "mode_products"]


def mode_products(tensor: Tensor, matrices: Mapping[int, Tensor]) -> Tensor:
    """Multiply the fibres of several modes by matrices, ``tensor x_i M_i``, in the order given.

    Arguments:
        tensor: order at least 2.
        matrices: for each mode ``(m_i, n_i)``.

    Returns:
        The tensor with ``m_i`` in place of ``n_i``; of order 3 and up with mode 1 last in memory.

    Example:
        >>> import torch
        >>> mode_products(torch.ones(2, 3, 4), {0: torch.ones(5, 2), 2: torch.ones(1, 4)}).shape
        torch.Size([5, 3, 1])
    """
    if not matrices:
        return tensor
    work = _laid_out(tensor)
    for mode, matrix in matrices.items():
        axis = _axis(mode, tensor.ndim)
        shape = list(work.shape)
        before, size, after = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
        shape[axis] = matrix.shape[0]
        if after == 1:
            result = product(work.reshape(before, size), matrix.mT)
        elif before == 1:
            result = product(matrix, work.reshape(size, after))
        else:
            result = torch.matmul(matrix, work.reshape(before, size, after))
        work = result.view(shape)
    return work if tensor.ndim == 2 else work.movedim(-1, 1)


def mode_inner(a: Tensor, b: Tensor, mode: int) -> Tensor:
    """Inner products of all pairs of slices, ``Mat_i(a) Mat_i(b)ᵀ``.

    Arguments:
        a, b: order at least 2, of equal shape but for the mode.
        mode: the mode.

    Returns:
        ``(a.shape[mode], b.shape[mode])``.

    Example:
        >>> import torch
        >>> mode_inner(torch.ones(2, 3, 4), torch.ones(5, 3, 4), 0).shape
        torch.Size([2, 5])
    """
    axis = _axis(mode, a.ndim)
    first, second = _laid_out(a), _laid_out(b)
    if axis == a.ndim - 1:
        return product(first.reshape(-1, a.shape[mode]).mT, second.reshape(-1, b.shape[mode]))
    if axis:
        first, second = first.movedim(axis, 0), second.movedim(axis, 0)
    return product(first.reshape(a.shape[mode], -1), second.reshape(b.shape[mode], -1).mT)


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous() if tensor.ndim == 2 else tensor.movedim(1, -1).contiguous()


def _axis(mode: int, order: int) -> int:
    """Where a mode lies once mode 1 is last."""
    if order == 2 or mode == 0:
        return mode
    return order - 1 if mode == 1 else mode - 1

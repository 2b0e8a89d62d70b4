"""Unfoldings and mode products (Kolda and Bader 2009, sections 2.4 and 2.5).

Axes: n_i rows of mode i, N = product of the other modes in their order.
"""

from torch import Tensor

__all__ = ["fold_mode", "mode_product", "unfold"]


def unfold(tensor: Tensor, mode: int) -> Tensor:
    """Write a tensor as the matrix whose rows belong to one mode.

    Arguments:
        tensor: any tensor of order d >= 1.
        mode: 0 <= mode < d.

    Returns:
        ``(tensor.shape[mode], N)``, the other modes in their order, the last one fastest.

    Example:
        >>> import torch
        >>> unfold(torch.zeros(2, 3, 4), 1).shape
        torch.Size([3, 8])
    """
    return tensor.movedim(mode, 0).reshape(tensor.shape[mode], -1)


def fold_mode(matrix: Tensor, mode: int, shape: tuple[int, ...]) -> Tensor:
    """Undo :func:`unfold`: the tensor of ``shape`` whose unfolding along ``mode`` is ``matrix``.

    Arguments:
        matrix: ``(shape[mode], N)``.
        mode: 0 <= mode < len(shape).
        shape: the shape of the result.

    Returns:
        A tensor of ``shape``.

    Example:
        >>> import torch
        >>> x = torch.arange(24.0).reshape(2, 3, 4)
        >>> torch.equal(fold_mode(unfold(x, 1), 1, (2, 3, 4)), x)
        True
    """
    rest = shape[:mode] + shape[mode + 1 :]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)


def mode_product(tensor: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """Multiply every mode-``mode`` fibre by a matrix, ``tensor x_mode matrix``.

    Arguments:
        tensor: order d, ``tensor.shape[mode] == matrix.shape[1]``.
        matrix: ``(m, tensor.shape[mode])``.
        mode: 0 <= mode < d.

    Returns:
        The tensor with ``m`` in place of ``shape[mode]``.

    Example:
        >>> import torch
        >>> mode_product(torch.ones(2, 3), torch.ones(5, 3), 1).shape
        torch.Size([2, 5])
    """
    return (tensor.movedim(mode, -1) @ matrix.mT).movedim(-1, mode)

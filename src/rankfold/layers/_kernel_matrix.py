"""A convolution's weight as the matrix of its separable form: (outputs, rows of the window) x (inputs, columns).

Axes: O outputs, I inputs, H and W rows and columns of the window.
"""

from collections.abc import Sequence

from torch import Tensor

from rankfold._errors import ShapeError

__all__ = ["kernel_from_matrix", "kernel_matrix", "kernel_matrix_shape"]


def kernel_matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of :func:`kernel_matrix` for a kernel of this shape.

    Example:
        >>> kernel_matrix_shape((16, 8, 3, 5))
        (48, 40)
    """
    _check(shape)
    outputs, inputs, rows, columns = shape
    return outputs * rows, inputs * columns


def kernel_matrix(kernel: Tensor) -> Tensor:
    """The matrix whose rank-r product is a window of one row into r channels followed by one of one column.

    The axis of the inputs moves behind the rows of the window first: a mere reshape of ``(O, I, H, W)`` to
    ``(O H, I W)`` has the same numbers in other places, and a product of low rank then stands for no pair of
    convolutions.

    Arguments:
        kernel: ``(O, I, H, W)``.

    Returns:
        ``(O H, I W)``, row ``o H + h``, column ``i W + w``.

    Raises:
        ShapeError: not the weight of a convolution of images.

    Reference:
        Khodak et al. 2021, "Initialization and regularization of factorized neural layers", section 3; Jaderberg,
        Vedaldi, Zisserman 2014, "Speeding up convolutional neural networks with low rank expansions", scheme 2.

    Example:
        >>> import torch
        >>> kernel_matrix(torch.arange(8.0).reshape(1, 2, 2, 2))
        tensor([[0., 1., 4., 5.],
                [2., 3., 6., 7.]])
    """
    _check(kernel.shape)
    return kernel.transpose(1, 2).reshape(kernel_matrix_shape(kernel.shape))


def kernel_from_matrix(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """The kernel of a given shape whose :func:`kernel_matrix` this is.

    Arguments:
        matrix: ``(O H, I W)``.
        shape: ``(O, I, H, W)``.

    Raises:
        ShapeError: sizes that do not belong together.

    Example:
        >>> import torch
        >>> kernel = torch.randn(4, 3, 2, 5)
        >>> torch.equal(kernel_from_matrix(kernel_matrix(kernel), kernel.shape), kernel)
        True
    """
    _check(shape)
    if tuple(matrix.shape) != kernel_matrix_shape(shape):
        raise ShapeError(
            f"kernel_from_matrix: got a matrix of shape {tuple(matrix.shape)} for a kernel {tuple(shape)}; it must "
            f"be {kernel_matrix_shape(shape)}."
        )
    outputs, inputs, rows, columns = shape
    return matrix.reshape(outputs, rows, inputs, columns).transpose(1, 2)


def _check(shape: Sequence[int]) -> None:
    if len(shape) != 4:
        raise ShapeError(
            f"kernel_matrix: got shape {tuple(shape)}; pass that of a convolution of images, "
            "(outputs, inputs, rows, columns)."
        )

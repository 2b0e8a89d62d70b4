"""The separable matrix of a kernel: its products are pairs of convolutions, which those of a mere reshape are not."""

import pytest
import torch
import torch.nn.functional as F

from rankfold import ShapeError
from rankfold.layers import kernel_from_matrix, kernel_matrix, kernel_matrix_shape
from rankfold.testing import assert_same

SHAPES = [(6, 5, 3, 3), (4, 3, 1, 5), (2, 7, 5, 1), (1, 1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_back_again(shape: tuple[int, ...]) -> None:
    kernel = torch.randn(shape)
    matrix = kernel_matrix(kernel)
    assert tuple(matrix.shape) == kernel_matrix_shape(shape)
    assert torch.equal(kernel_from_matrix(matrix, shape), kernel)
    for o, i, h, w in ((0, 0, 0, 0), tuple(size - 1 for size in shape)):
        assert matrix[o * shape[2] + h, i * shape[3] + w] == kernel[o, i, h, w]


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": (1, 2)}, {"dilation": (2, 1), "padding": 3}]
)
def test_a_product_is_two_convolutions(shape: tuple[int, ...], options: dict[str, object]) -> None:
    """At full rank, and for every stride, padding and dilation, the pair is the convolution itself."""
    outputs, inputs, rows, columns = shape
    kernel = torch.randn(shape, dtype=torch.float64)
    left, values, right = torch.linalg.svd(kernel_matrix(kernel), full_matrices=False)
    first = (values[:, None] * right).reshape(-1, inputs, 1, columns)
    second = left.reshape(outputs, rows, -1).permute(0, 2, 1)[..., None]
    images = torch.randn(2, inputs, 9, 11, dtype=torch.float64)
    along = [{}, {}]
    for name, value in options.items():
        neutral = 0 if name == "padding" else 1
        down, across = value if isinstance(value, tuple) else (value, value)
        along[0][name], along[1][name] = (neutral, across), (down, neutral)
    between = F.conv2d(images, first, **along[0])
    expected = F.conv2d(images, kernel, **options)  # pyright: ignore
    assert_same(F.conv2d(between, second, **along[1]), expected, terms=kernel.numel())


def test_a_mere_reshape_is_not_that_matrix() -> None:
    """The trap of the released code of Khodak et al.: right for no kernel but one without structure to lose."""
    kernel = torch.randn(6, 5, 3, 3, dtype=torch.float64)
    reshaped = kernel.reshape(18, 15)
    wrong = kernel_from_matrix(reshaped, kernel.shape)
    assert torch.linalg.vector_norm(wrong - kernel) > torch.linalg.vector_norm(kernel)


def test_what_is_no_kernel() -> None:
    for function in (kernel_matrix, lambda tensor: kernel_matrix_shape(tensor.shape)):
        with pytest.raises(ShapeError, match="pass that of a convolution of images"):
            function(torch.zeros(3, 4))
    with pytest.raises(ShapeError, match=r"it must be \(12, 6\)"):
        kernel_from_matrix(torch.zeros(6, 12), (4, 2, 3, 3))

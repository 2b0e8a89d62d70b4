import pytest
import torch

from rankfold.linalg import _mode_gram as module
from rankfold.linalg import mode_correlate, mode_gram, mode_product, mode_project, unfold

SHAPES = [(3, 4), (1, 5, 1), (7, 1, 3, 2), (130, 4, 9), (4, 130, 9), (4, 9, 130)]


@pytest.mark.parametrize("entries", [1, 64, 1 << 18])
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gram_is_that_of_the_unfolding(
    shape: tuple[int, ...], contiguous: bool, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ENTRIES", entries)
    tensor = torch.randn(shape, dtype=torch.float64)
    tensor = (
        tensor
        if contiguous
        else torch.randn(shape[::-1], dtype=torch.float64).permute(*reversed(range(len(shape))))
    )
    for mode in range(tensor.ndim):
        rows = unfold(tensor, mode)
        expected = rows @ rows.mT
        gram = mode_gram(tensor, mode)
        assert (gram - expected).abs().amax() <= 1e-13 * expected.trace()
        assert torch.equal(gram, gram.mT)
        rounded = mode_gram(tensor, mode, dtype=torch.float32)
        assert rounded.dtype == torch.float64
        assert (rounded - expected).abs().amax() <= 1e-5 * expected.trace()


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_summed_in_float64(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape)
    for mode in range(tensor.ndim):
        rows = unfold(tensor, mode).double()
        expected = rows @ rows.mT
        assert (mode_gram(tensor, mode) - expected).abs().amax() <= 1e-13 * expected.trace()


@pytest.mark.parametrize("shape", SHAPES)
def test_projection_is_the_mode_product(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, dtype=torch.float64)
    for mode in range(tensor.ndim):
        matrix = torch.randn(2, shape[mode], dtype=torch.float64)
        result = mode_project(tensor, matrix, mode)
        assert result.is_contiguous()
        assert torch.allclose(result, mode_product(tensor, matrix, mode), rtol=0, atol=1e-11)


@pytest.mark.parametrize("entries", [1, 64, 1 << 18])
@pytest.mark.parametrize("shape", SHAPES)
def test_correlation_is_the_product_of_unfoldings(
    shape: tuple[int, ...], entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ENTRIES", entries)
    a = torch.randn(shape, dtype=torch.float64)
    for mode in range(a.ndim):
        b = torch.randn(*shape[:mode], 2, *shape[mode + 1 :], dtype=torch.float64)
        expected = unfold(a, mode) @ unfold(b, mode).mT
        assert torch.allclose(mode_correlate(a, b, mode), expected, rtol=0, atol=1e-11)

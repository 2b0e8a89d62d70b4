"""Norms and their gradients from Gram matrices agree with those of the dense tensor."""

import pytest
import torch
from tests.regularize.values import values

from rankfold import TT, OptionError, Tucker
from rankfold.formats import Format
from rankfold.regularize._squared_norm import half_squared_norm, half_squared_norm_gradients


def dense_gradients(value: Format) -> list[torch.Tensor]:
    tensors = [tensor.detach().clone().requires_grad_() for tensor in value.tensors]
    (0.5 * value._rebuilt(tensors).to_dense().square().sum()).backward()
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


@pytest.mark.parametrize("name", values())
def test_gradients_are_those_of_the_dense_norm(name: str) -> None:
    value = values()[name]
    for mine, dense in zip(half_squared_norm_gradients(value), dense_gradients(value), strict=True):
        assert torch.linalg.vector_norm(mine - dense) <= 1e-12 * torch.linalg.vector_norm(dense)


@pytest.mark.parametrize("name", values())
def test_the_norm_and_its_own_gradients(name: str) -> None:
    value = values()[name]
    tensors = [tensor.detach().clone().requires_grad_() for tensor in value.tensors]
    half = half_squared_norm(value._rebuilt(tensors))
    assert abs(float(half.detach()) - 0.5 * float(value.to_dense().square().sum())) <= 1e-12 * float(
        half.detach()
    )
    half.backward()
    for tensor, dense in zip(tensors, dense_gradients(value), strict=True):
        assert tensor.grad is not None
        assert torch.linalg.vector_norm(tensor.grad - dense) <= 1e-12 * torch.linalg.vector_norm(dense)


@pytest.mark.parametrize("name", values())
def test_zero_has_finite_gradients(name: str) -> None:
    """A norm has none at zero, and the gauge by which the released MPO code balances cores is not a number there."""
    value = values()[name]
    zeros = [torch.zeros_like(tensor).requires_grad_() for tensor in value.tensors]
    half_squared_norm(value._rebuilt(zeros)).backward()
    given = [tensor.grad for tensor in zeros] + half_squared_norm_gradients(value._rebuilt(zeros))
    assert all(gradient is not None and not gradient.any() for gradient in given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    for value in values(dtype).values():
        exact = dense_gradients(value.to(dtype=torch.float64))
        for mine, dense in zip(half_squared_norm_gradients(value), exact, strict=True):
            assert mine.dtype == dtype
            assert torch.linalg.vector_norm(mine - dense) <= torch.finfo(
                dtype
            ).eps * torch.linalg.vector_norm(dense)


def test_nothing_dense_is_formed() -> None:
    """Of shapes whose dense tensors would take 8 exabytes and 8 petabytes."""
    long = TT(tuple(torch.ones(1 if k == 0 else 2, 10, 1 if k == 17 else 2) for k in range(18)))
    wide = Tucker(torch.ones(2, 2, 2), tuple(torch.ones(100_000, 2) for _ in range(3)))
    for value in (long, wide):
        assert bool(half_squared_norm(value).isfinite())
        assert all(bool(gradient.isfinite().all()) for gradient in half_squared_norm_gradients(value))


def test_what_is_no_format() -> None:
    with pytest.raises(OptionError, match="got a Tensor"):
        half_squared_norm_gradients(torch.zeros(2, 2))

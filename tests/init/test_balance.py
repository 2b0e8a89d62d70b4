"""Even shares of singular values: Gram matrices of both sides of every rank index are equal."""

import pytest
import torch

from rankfold import CP, TT, Tucker
from rankfold.formats import Format
from rankfold.init import balanced
from rankfold.testing import assert_same, example_values


def values() -> dict[str, Format]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: like._rebuilt(
            [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in like.tensors]
        )
        for name, like in example_values().items()
    }


@pytest.mark.parametrize("name", values())
def test_the_tensor_stays_and_again_changes_nothing(name: str) -> None:
    value = values()[name]
    once = balanced(value)
    assert type(once) is type(value)
    assert once.ranks == value.ranks
    assert_same(once.to_dense(), value.to_dense(), terms=200)
    for mine, again in zip(once.tensors, balanced(once).tensors, strict=True):
        torch.testing.assert_close(again, mine, rtol=1e-8, atol=1e-9)


def test_two_and_three_parts_of_a_matrix() -> None:
    """UᵀU = VᵀV to 1e-12, and the bound of weight decay on factors by the nuclear norm is tight."""
    dense = torch.randn(9, 7, dtype=torch.float64)
    nuclear = float(torch.linalg.svdvals(dense).sum())
    first, second = (core.squeeze() for core in balanced(TT.from_dense(dense, ranks=7)).tensors)
    torch.testing.assert_close(first.mT @ first, second @ second.mT, rtol=0, atol=1e-12)
    assert abs(float(first.square().sum() + second.square().sum()) / 2 - nuclear) <= 1e-12 * nuclear
    parts = balanced(Tucker.from_dense(dense, ranks=7))
    core, left, right = parts.tensors
    for gram in (right.mT @ right, core @ core.mT, core.mT @ core):
        torch.testing.assert_close(gram, left.mT @ left, rtol=0, atol=1e-12)
    least = float((torch.linalg.svdvals(dense) ** (2 / 3)).sum())
    assert abs(sum(float(part.square().sum()) for part in parts.tensors) / 3 - least) <= 1e-12 * least


def test_every_bond_of_a_train() -> None:
    train = balanced(values()["tt"])
    assert isinstance(train, TT)
    for bond in (1, 2):
        left = train.cores[0]
        for core in train.cores[1:bond]:
            left = torch.tensordot(left, core, 1)
        right = train.cores[bond]
        for core in train.cores[bond + 1 :]:
            right = torch.tensordot(right, core, 1)
        before, after = left.flatten(0, -2), right.flatten(1)
        torch.testing.assert_close(before.mT @ before, after @ after.mT, rtol=0, atol=1e-10)


def test_columns_of_components() -> None:
    parts = balanced(values()["cp"])
    assert isinstance(parts, CP)
    norms = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in parts.factors])
    torch.testing.assert_close(norms, norms[:1].expand_as(norms))


@pytest.mark.parametrize("name", values())
def test_zero_stays_zero_and_finite(name: str) -> None:
    """The gauge of the released MPO code, an inverse root of singular values, is not a number there."""
    value = values()[name]
    zero = balanced(value._rebuilt([torch.zeros_like(tensor) for tensor in value.tensors]))
    assert all(bool(tensor.isfinite().all()) for tensor in zero.tensors)
    assert not zero.to_dense().any()


def test_singular_values_that_are_rounding_are_left_alone() -> None:
    """Near a Kronecker product the inverse root costs digits."""
    dense = torch.outer(torch.randn(8), torch.randn(6)).double()
    for noise, allowed in ((0.0, 1e-14), (1e-13, 1e-14), (1e-9, 1e-13)):
        near = dense + noise * torch.randn(8, 6, dtype=torch.float64)
        for value in (TT.from_dense(near, ranks=6), Tucker.from_dense(near, ranks=6)):
            result = balanced(value)
            assert all(bool(tensor.isfinite().all()) for tensor in result.tensors)
            assert float((result.to_dense() - near).norm()) <= allowed * float(near.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    for value in values().values():
        result = balanced(value.to(dtype=dtype))
        assert result.dtype == dtype
        error = (result.to_dense().double() - value.to_dense()).norm() / value.to_dense().norm()
        assert error <= 20 * torch.finfo(dtype).eps

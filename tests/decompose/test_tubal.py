"""The algebra of tubes against its definition, and what t-SVD and t-CUR promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.decompose import TRANSFORMS, t_cur, t_product, t_svd

NAMES = sorted(TRANSFORMS)
SIZES = st.integers(1, 5)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_definition(a, b):
    """Kilmer and Martin, definition 3: the block-circulant matrix of a times the unfolding of b."""
    size = a.shape[2]
    rows = [torch.cat([a[:, :, (k - m) % size] for m in range(size)], 1) for k in range(size)]
    stacked = torch.cat(rows) @ torch.cat([b[:, :, m] for m in range(size)])
    return torch.stack(stacked.split(a.shape[0]), 2)


@given(n1=SIZES, k=SIZES, n2=SIZES, n3=st.integers(1, 6))
def test_the_product_is_that_of_the_block_circulant_matrix(n1, k, n2, n3):
    a, b = normal(n1, k, n3), normal(k, n2, n3, seed=1)
    torch.testing.assert_close(t_product(a, b), by_definition(a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("transform", NAMES)
@given(n=SIZES, n3=st.integers(1, 6))
def test_transforms_come_back_and_the_product_is_associative(transform, n, n3):
    kind = TRANSFORMS[transform]
    x, y, z = normal(n, 3, n3), normal(3, 2, n3, seed=1), normal(2, 4, n3, seed=2)
    torch.testing.assert_close(kind.inverse(kind.forward(x), n3), x, rtol=1e-13, atol=1e-13)
    energy = (kind.forward(x).abs().square().sum((0, 1)) * kind.weights(n3)).sum()
    torch.testing.assert_close(energy, x.square().sum(), rtol=1e-12, atol=1e-12)
    left = t_product(t_product(x, y, transform), z, transform)
    right = t_product(x, t_product(y, z, transform), transform)
    torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("transform", NAMES)
@pytest.mark.parametrize("shape", [(6, 4, 5), (4, 6, 4), (5, 5, 1)])
def test_the_error_of_a_t_svd_is_the_tail_of_its_spectrum(transform, shape):
    x = normal(*shape)
    for rank in range(1, min(shape[:2]) + 1):
        found = t_svd(x, rank, transform=transform)
        assert found.rank == rank
        error = (found.to_dense() - x).norm()
        torch.testing.assert_close(error, found.spectrum[rank:].norm(), rtol=1e-10, atol=1e-12)
    error = (t_svd(x, tolerance=0.3, transform=transform).to_dense() - x).norm() / x.norm()
    assert error <= 0.3
    assert t_svd(torch.zeros(shape), tolerance=0.1, transform=transform).to_dense().norm() == 0


@pytest.mark.parametrize("transform", NAMES)
@pytest.mark.parametrize("size", [4, 5])
def test_a_tensor_of_small_tubal_rank_is_found_exactly(transform, size):
    x = t_product(normal(9, 3, size), normal(3, 8, size, seed=1), transform)
    assert t_svd(x, tolerance=1e-10, transform=transform).rank == 3
    found = t_cur(x, 3, transform=transform)
    assert (found.to_dense() - x).norm() < 1e-10 * x.norm()
    assert torch.equal(found.left, x[:, found.columns])
    assert torch.equal(found.right, x[found.rows])


def test_a_t_cur_lies_between_the_t_svd_and_the_cross():
    x = t_product(normal(20, 5, 6), normal(5, 18, 6, seed=1)) + 0.3 * normal(20, 18, 6, seed=2)
    found, best = t_cur(x, 5), t_svd(x, 5)
    cross = x[found.rows][:, found.columns]
    slices = torch.linalg.pinv(torch.fft.rfft(cross, dim=2).permute(2, 0, 1)).permute(1, 2, 0)
    core = torch.fft.irfft(slices, n=6, dim=2)
    crossed = t_product(t_product(found.left, core), found.right)
    errors = [(part - x).norm() for part in (best.to_dense(), found.to_dense(), crossed)]
    assert errors[0] < errors[1] < errors[2]


def test_the_order_of_the_slices_matters_unless_there_is_no_transform():
    x = normal(8, 8, 6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for transform, same in (("none", True), ("fft", False), ("dct", False)):
        errors = [(t_svd(one, 3, transform=transform).to_dense() - one).norm() for one in (x, x[:, :, order])]
        assert bool((errors[0] - errors[1]).abs() < 1e-9) is same


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: t_product(torch.ones(2, 3), torch.ones(3, 2)), ShapeError),
        (lambda: t_product(torch.ones(2, 3, 4), torch.ones(2, 3, 4)), ShapeError),
        (lambda: t_product(torch.ones(2, 3, 4), torch.ones(3, 2, 4), "walsh"), OptionError),
        (lambda: t_svd(torch.ones(0, 3, 4)), ShapeError),
        (lambda: t_svd(torch.ones(2, 3, 4, dtype=torch.int64)), ShapeError),
        (lambda: t_svd(torch.full((2, 3, 4), float("nan"))), NonFiniteError),
        (lambda: t_svd(torch.ones(2, 3, 4), 3), RankError),
        (lambda: t_svd(torch.ones(2, 3, 4), 1, tolerance=0.1), OptionError),
        (lambda: t_svd(torch.ones(2, 3, 4), tolerance=1.0), OptionError),
        (lambda: t_cur(torch.ones(2, 3, 4), 0), RankError),
        (lambda: t_cur(torch.ones(2, 3, 4), True), RankError),
        (lambda: t_cur([[1.0]], 1), ShapeError),
    ],
)
def test_refusals(call, error):
    with pytest.raises(error):
        call()

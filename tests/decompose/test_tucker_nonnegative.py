"""Models without negative numbers."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from rankfold import Tucker
from rankfold.decompose._result import Decomposition
from rankfold.decompose._tucker import tucker


def positive(shape: tuple[int, ...], ranks: tuple[int, ...]) -> Tensor:
    factors = tuple(torch.rand(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True))
    return Tucker(torch.rand(ranks, dtype=torch.float64) ** 2, factors).to_dense()


def falls(found: Decomposition) -> bool:
    errors = [point.relative_error for point in found.trace]
    return all(later <= earlier + 1e-9 for earlier, later in pairwise(errors))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("shape", "ranks"), [((8, 9, 10), (2, 3, 4)), ((6, 5, 4, 7), (2, 2, 2, 2)), ((9, 8), (3, 3))]
)
def test_parts_are_nonnegative_and_the_error_falls(
    shape: tuple[int, ...], ranks: tuple[int, ...], masked: bool
) -> None:
    tensor = positive(shape, ranks) + 0.1 * torch.randn(shape, dtype=torch.float64)
    mask = torch.rand(shape) > 0.3 if masked else None
    found = tucker(tensor, ranks, nonnegative=True, mask=mask, generator=0)
    assert found.method == "hals"
    parts = (found.tensor.core, *found.tensor.factors)
    assert all(bool((part >= 0).all()) for part in parts)
    assert falls(found)
    assert len(found.trace) > 3
    seen = torch.ones(shape, dtype=torch.bool) if mask is None else mask
    error = (found.tensor.to_dense() - tensor)[seen].norm() / tensor[seen].norm()
    assert found.relative_error == pytest.approx(float(error), rel=1e-6)
    # The signs cost something, but little on such data.
    if mask is None:
        free = tucker(tensor, ranks).relative_error
        assert free * (1 - 1e-6) <= found.relative_error <= 1.2 * free


def test_gaps_are_predicted() -> None:
    tensor = positive((12, 13, 14), (2, 2, 2))
    mask = torch.rand(tensor.shape) > 0.3
    found = tucker(torch.where(mask, tensor, 100.0), 2, nonnegative=True, mask=mask, generator=0)
    missed = (found.tensor.to_dense() - tensor)[~mask].norm() / tensor[~mask].norm()
    assert missed < 0.05


def test_no_worse_than_tensorly() -> None:
    tensorly = pytest.importorskip("tensorly")
    from tensorly.decomposition import non_negative_tucker_hals

    tensor = positive((12, 13, 14), (3, 3, 3)) + 0.2 * torch.rand(12, 13, 14, dtype=torch.float64)
    core, factors = non_negative_tucker_hals(tensor.numpy(), rank=[3, 3, 3], n_iter_max=100)
    theirs = tensorly.norm(tensorly.tucker_to_tensor((core, factors)) - tensor.numpy()) / float(tensor.norm())
    assert tucker(tensor, 3, nonnegative=True, generator=0).relative_error <= 1.01 * theirs


def test_negative_data_are_fitted_as_far_as_signs_allow() -> None:
    found = tucker(-torch.ones(3, 4, 5), 1, nonnegative=True, generator=0)
    assert found.relative_error == pytest.approx(1)
    assert torch.isfinite(found.tensor.to_dense()).all()


def test_same_seed_same_answer() -> None:
    tensor = positive((5, 6, 7), (2, 2, 2))
    first, second = (tucker(tensor, 2, nonnegative=True, generator=1, max_iterations=20) for _ in range(2))
    assert torch.equal(first.tensor.core, second.tensor.core)


def test_callback_stops() -> None:
    tensor = positive((5, 6, 7), (2, 2, 2))
    assert len(tucker(tensor, 2, nonnegative=True, generator=0, callback=lambda point: True).trace) == 1

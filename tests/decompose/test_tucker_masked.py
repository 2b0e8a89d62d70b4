"""Tensors with gaps: recovery of what is hidden, and nothing invented where the data leave it open."""

import pytest
import torch
from torch import Tensor

from rankfold import Tucker
from rankfold._errors import OptionError, ShapeError
from rankfold.decompose._tucker import tucker
from rankfold.decompose._tucker_tangent import Tangent


def low_rank(shape: tuple[int, ...], ranks: tuple[int, ...]) -> Tensor:
    factors = tuple(torch.randn(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True))
    return Tucker(torch.randn(ranks, dtype=torch.float64), factors).to_dense()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("shape", "ranks"),
    [((20, 21, 22), (2, 3, 4)), ((10, 11, 12, 13), (2, 2, 3, 2)), ((40, 50), (3, 3))],
)
def test_exact_data_come_back(shape: tuple[int, ...], ranks: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    tensor = low_rank(shape, ranks)
    mask = torch.rand(shape) > 0.5
    found = tucker(torch.where(mask, tensor, 1e6), ranks, mask=mask, generator=seed)
    assert found.method == "gauss-newton"
    assert found.relative_error <= 1e-8
    assert (found.tensor.to_dense() - tensor).norm() <= 1e-6 * tensor.norm()
    assert found.tensor.ranks == ranks


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_nan_is_a_gap_at_any_scale(scale: float) -> None:
    tensor = low_rank((15, 16, 17), (2, 2, 2))
    gaps = torch.rand(tensor.shape) < 0.3
    found = tucker((scale * tensor).masked_fill(gaps, float("nan")), 2, mask="nan", generator=0)
    assert (found.tensor.to_dense() / scale - tensor).norm() <= 1e-6 * tensor.norm()


def test_error_is_over_the_observed_entries() -> None:
    tensor = low_rank((12, 13, 14), (3, 3, 3)) + torch.randn(12, 13, 14, dtype=torch.float64)
    mask = torch.rand(tensor.shape) > 0.3
    found = tucker(tensor, 3, mask=mask, generator=0)
    residual = (found.tensor.to_dense() - tensor)[mask]
    assert found.relative_error == pytest.approx(float(residual.norm() / tensor[mask].norm()), rel=1e-9)
    assert found.trace[-1].relative_error == pytest.approx(found.relative_error, rel=1e-9)


def test_what_the_data_leave_open_stays_small() -> None:
    # Far more parameters than the few entries determine: a fit of these alone predicts worse than zeros.
    shape = (20, 20, 20)
    tensor = low_rank(shape, (2, 2, 2))
    tensor = tensor / tensor.std() + torch.randn(shape, dtype=torch.float64)
    mask = torch.rand(shape) > 0.85
    found = tucker(tensor, 8, mask=mask, generator=0)
    hidden = ~mask
    missed = (found.tensor.to_dense() - tensor)[hidden].norm() / tensor[hidden].norm()
    assert missed < 1


def test_same_seed_same_answer_and_no_trace_on_the_input() -> None:
    tensor = low_rank((8, 9, 10), (2, 2, 2)) + 0.1
    mask = torch.rand(tensor.shape) > 0.2
    kept = tensor.clone(), mask.clone()
    first, second = (tucker(tensor, 2, mask=mask, generator=3) for _ in range(2))
    assert torch.equal(first.tensor.core, second.tensor.core)
    assert torch.equal(tensor, kept[0])
    assert torch.equal(mask, kept[1])


def test_the_seed_that_drew_the_mask_may_be_used_again() -> None:
    tensor = low_rank((20, 21, 22), (2, 2, 2))
    mask = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(0)) > 0.3
    found = tucker(tensor, 2, mask=mask, generator=0)
    assert (found.tensor.to_dense() - tensor).norm() <= 1e-6 * tensor.norm()


def test_a_complete_mask_is_no_mask() -> None:
    tensor = torch.randn(5, 6, 7, dtype=torch.float64)
    whole = tucker(tensor, 2, mask=torch.ones(5, 6, 7, dtype=torch.bool))
    assert whole.method == "hooi"
    assert whole.relative_error == tucker(tensor, 2).relative_error


def test_float32() -> None:
    tensor = low_rank((15, 16, 17), (2, 2, 2)).float()
    found = tucker(tensor, 2, mask=torch.rand(tensor.shape) > 0.4, generator=0)
    assert found.tensor.core.dtype == torch.float32
    assert (found.tensor.to_dense() - tensor).norm() <= 1e-4 * tensor.norm()


def test_callback_stops() -> None:
    tensor = torch.randn(8, 9, 10)
    found = tucker(tensor, 2, mask=tensor > -1, generator=0, callback=lambda point: True)
    assert len(found.trace) == 1


def test_only_ranks_mean_something_with_gaps() -> None:
    tensor = torch.randn(4, 5, 6)
    with pytest.raises(OptionError, match="meet any of them"):
        tucker(tensor, tolerance=0.1, mask=tensor > 0)
    with pytest.raises(OptionError, match="leave method out"):
        tucker(tensor, 2, mask=tensor > -1, method="hooi")
    with pytest.raises(ShapeError, match="bool"):
        tucker(tensor, 2, mask=torch.ones(4, 5, 6))


@pytest.mark.parametrize("ranks", [(2, 3, 4), (4, 2, 3), (1, 1, 1)])
def test_tangent_coordinates_are_orthonormal(ranks: tuple[int, ...]) -> None:
    shape = (7, 8, 9)
    model = Tucker(
        torch.randn(ranks, dtype=torch.float64),
        tuple(torch.randn(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True)),
    ).orthonormalize()
    space = Tangent.at(model.core, list(model.factors))
    assert torch.allclose(space.point(), model.to_dense())
    vector = space.coordinates(torch.randn(shape, dtype=torch.float64))
    dense = space.dense(vector)
    back = space.coordinates(dense)
    for part, again in zip(vector, back, strict=True):
        assert torch.allclose(part, again, rtol=0, atol=1e-12)
    assert float(dense.norm() ** 2) == pytest.approx(float(sum(part.norm() ** 2 for part in vector)))
    # The first derivative of the way back to the manifold is the tangent vector itself.
    short = 1e-6
    moved = (space.moved(vector, short).point() - space.point()) / short
    assert (moved - dense).norm() <= 1e-4 * dense.norm()

"""Counts: the Poisson loss, its updates, and what they find."""

import itertools

import pytest
import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._counts import counts_of
from rankfold.decompose._data import Data
from rankfold.decompose._gradient_flow import solve
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.decompose._poisson import maximize_likelihood
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._sparse import SparseData
from rankfold.formats import balanced_outer


def _settings(seed: int = 0, **options: object) -> Settings:
    generator = torch.Generator().manual_seed(seed)
    return Settings(generator=generator, recorder=Recorder(), **options)  # type: ignore[arg-type]


def _simulated(seed: int, size: int, rank: int, mean: float) -> tuple[Tensor, list[Tensor]]:
    """Counts and the factors of their rates; half of the entries of the factors are next to zero."""
    generator = torch.Generator().manual_seed(seed)
    factors = []
    for _ in range(3):
        drawn = torch.rand(size, rank, generator=generator, dtype=torch.float64).square()
        factors.append(drawn * (torch.rand(size, rank, generator=generator) < 0.5) + 1e-3)
    factors[0] *= mean / balanced_outer(factors).mean()
    return torch.poisson(balanced_outer(factors), generator=generator), factors


def _match(found: list[Tensor], true: list[Tensor]) -> float:
    """Factor match score: mean over components of the product of cosines, at the best pairing."""
    units = [[torch.nn.functional.normalize(factor, dim=0) for factor in side] for side in (found, true)]
    cosines = torch.stack([a.mT @ b for a, b in zip(*units, strict=True)]).prod(0)
    rank = cosines.shape[0]
    return max(
        float(cosines[list(order), range(rank)].mean()) for order in itertools.permutations(range(rank))
    )


def _deviance(data: Data, factors: list[Tensor]) -> float:
    """The part that depends on the model: twice the loss."""
    return 2 * counts_of("test", data).loss([factor.clamp_min(0) for factor in factors])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_factors_of_simulated_counts_are_found(seed: int) -> None:
    counts, true = _simulated(seed, 15, 4, mean=1.0)
    data = CompleteData(counts / counts.norm())
    factors = solve(data, 4, _settings(seed, loss="poisson"))
    assert [tuple(factor.shape) for factor in factors] == [(15, 4)] * 3
    assert min(float(factor.min()) for factor in factors) >= 0
    assert _match(factors, true) > 0.95
    squares = solve(data, 4, _settings(seed, nonnegative=True))
    assert _deviance(data, factors) < _deviance(data, squares)
    # More likely than the truth, as a maximum must be.
    scaled = [factor / counts.norm() ** (1 / 3) for factor in true]
    assert _deviance(data, factors) < _deviance(data, scaled)


def test_width_finds_what_a_narrow_start_misses() -> None:
    counts, _ = _simulated(3, 18, 6, mean=0.5)
    data = CompleteData(counts / counts.norm())
    view = counts_of("test", data)
    narrow = []
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        start = [torch.rand(18, 6, generator=generator, dtype=torch.float64) for _ in range(3)]
        narrow.append(view.loss(maximize_likelihood(data, view, start, _settings(), sweeps=400)))
    wide = [view.loss(solve(data, 6, _settings(seed, loss="poisson"))) for seed in range(3)]
    assert max(wide) - min(wide) < 1e-4
    assert max(wide) < min(narrow) + 1e-4
    assert sum(loss > max(wide) + 0.1 for loss in narrow) >= 2


@pytest.mark.parametrize("form", ["dense", "masked", "sparse"])
def test_the_loss_never_grows_and_its_gradient_is_total_minus_pull(form: str) -> None:
    counts, _ = _simulated(4, 8, 3, mean=1.5)
    mask = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.8
    data: Data = CompleteData(counts)
    if form == "masked":
        data = MaskedData(counts, mask)
    elif form == "sparse":
        data = SparseData(counts.to_sparse())
    view = counts_of("test", data)
    generator = torch.Generator().manual_seed(2)
    factors = [torch.rand(8, 3, generator=generator, dtype=torch.float64) + 0.1 for _ in range(3)]
    weights = mask.double() if form == "masked" else torch.ones(8, 8, 8).double()

    def loss(*factors: Tensor) -> Tensor:
        model = balanced_outer(factors)
        return (weights * (model - counts * (model + 1e-10 * counts.max()).log())).sum()

    assert view.loss(factors) == pytest.approx(float(loss(*factors)), rel=1e-12)
    slopes = torch.autograd.functional.jacobian(loss, tuple(factors))
    for mode, slope in enumerate(slopes):
        torch.testing.assert_close(
            view.total(factors, mode) - view.pull(factors, mode), slope, rtol=1e-9, atol=1e-9
        )
    before = [factor.clone() for factor in factors]
    losses = [view.loss(factors)]
    current = factors
    for _ in range(60):
        current = maximize_likelihood(data, view, current, _settings(), sweeps=1)
        losses.append(view.loss(current))
    assert all(b <= a + 1e-12 * abs(a) for a, b in itertools.pairwise(losses))
    assert losses[-1] < losses[1]
    assert all(torch.equal(a, b) for a, b in zip(factors, before, strict=True))
    # Expectation maximisation keeps the total of the counts from the first sweep on.
    total = float((weights * balanced_outer(current)).sum())
    assert total == pytest.approx(float((weights * counts).sum()), rel=1e-6)


def test_sparse_and_masked_counts_give_what_dense_ones_give() -> None:
    counts, true = _simulated(5, 12, 3, mean=0.7)
    counts = counts / counts.norm()
    dense = solve(CompleteData(counts), 3, _settings(loss="poisson"))
    sparse = solve(SparseData(counts.to_sparse()), 3, _settings(loss="poisson"))
    everything = solve(MaskedData(counts, torch.ones_like(counts).bool()), 3, _settings(loss="poisson"))
    for other in (sparse, everything):
        torch.testing.assert_close(balanced_outer(other), balanced_outer(dense), rtol=1e-4, atol=1e-6)
    mask = torch.rand(counts.shape, generator=torch.Generator().manual_seed(6)) < 0.8
    assert _match(solve(MaskedData(counts, mask), 3, _settings(loss="poisson")), true) > 0.9


def test_an_entry_locked_at_zero_is_set_free() -> None:
    counts, true = _simulated(7, 10, 2, mean=3.0)
    data = CompleteData(counts)
    view = counts_of("test", data)
    begun = [factor.clone() for factor in true]
    row = int(begun[0][:, 0].argmax())
    begun[0][row] = 0.0
    found = maximize_likelihood(data, view, begun, _settings(), sweeps=100)
    assert found[0][row].max() > 0
    assert view.loss(found) < view.loss(begun)


def test_negative_entries_are_refused() -> None:
    data = CompleteData(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
    with pytest.raises(OptionError, match="1 entries are negative"):
        solve(data, 1, _settings(loss="poisson"))

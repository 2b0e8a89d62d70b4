"""The analytic solution against the iteration it solves, and against matrices whose rank is known."""

from dataclasses import replace
from math import inf, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ranks.weights import answers, linear, ranks, views
from torch import nn

import rankfold as rf
from rankfold.ranks import EVBMF
from rankfold.ranks._variational import _gain, noise_variance, signal_rank, signal_threshold


def component_energy(gamma: float, shorter: int, longer: int) -> float:
    """Least free energy of one component at noise 1, by coordinate descent from many starts; 0 is that of none.

    Twice the free energy of a in R^M and b in R^L with means along the singular vectors, variances ``va`` and
    ``vb`` and prior variances ``ca`` and ``cb``: each line below sets one of them to its stationary value.
    """
    best = 0.0
    for start in (0.1, 0.5, 0.9, 1.0):
        a = b = (start * gamma) ** 0.5
        va, vb = 1 / (b * b + 1), 1 / (a * a + 1)
        ca, cb = a * a / longer + va, b * b / shorter + vb
        for _ in range(5000):
            va = 1 / (b * b + shorter * vb + 1 / ca)
            a = va * gamma * b
            ca = a * a / longer + va
            vb = 1 / (a * a + longer * va + 1 / cb)
            b = vb * gamma * a
            cb = b * b / shorter + vb
        second = (a * a + longer * va) * (b * b + shorter * vb)
        if ca > 1e-200 and cb > 1e-200:
            energy = longer * log(ca / va) + shorter * log(cb / vb) - 2 * a * b * gamma + second
            best = min(best, energy)
    return best


@pytest.mark.parametrize(("shorter", "longer"), [(5, 5), (5, 20), (8, 100), (1, 7)])
@pytest.mark.parametrize("factor", [0.5, 0.97, 1.03, 1.5, 4.0, 30.0])
def test_a_component_has_the_least_free_energy(shorter: int, longer: int, factor: float) -> None:
    alpha = shorter / longer
    threshold = signal_threshold(alpha)
    x = factor * threshold
    found = float(_gain(torch.tensor([x], dtype=torch.float64), alpha, threshold)[0])
    assert longer * found == pytest.approx(
        component_energy((x * longer) ** 0.5, shorter, longer), rel=1e-6, abs=1e-6
    )
    assert (found < 0) == (factor > 1)


@pytest.mark.parametrize("alpha", [1e-6, 0.01, 0.3, 1.0])
def test_at_the_threshold_signal_and_noise_are_as_likely(alpha: float) -> None:
    threshold = signal_threshold(alpha)
    just_over = torch.tensor([threshold * (1 + 1e-12)], dtype=torch.float64)
    assert abs(float(_gain(just_over, alpha, threshold)[0])) < 1e-9
    # Over the largest value of pure noise (Marchenko and Pastur), for noise is not taken for signal.
    assert threshold > (1 + alpha**0.5) ** 2


@settings(max_examples=20)
@given(st.integers(2, 30), st.integers(0, 50), st.integers(0, 10), st.floats(0.01, 10), st.integers(0, 99))
def test_the_noise_variance_has_the_least_free_energy(
    shorter: int, more: int, rank: int, noise: float, seed: int
) -> None:
    generator, longer = torch.Generator().manual_seed(seed), shorter + more
    left, right = (
        torch.randn(shorter, rank, generator=generator),
        torch.randn(rank, longer, generator=generator),
    )
    matrix = left @ right + noise * torch.randn(shorter, longer, generator=generator)
    spectrum = torch.linalg.svdvals(matrix.double()).square()
    alpha = shorter / longer
    threshold = signal_threshold(alpha)

    def energy(variance: float) -> float:
        x = spectrum / (longer * variance)
        return float((x + log(variance) + _gain(x, alpha, threshold)).sum())

    found = noise_variance(spectrum, longer)
    # Values anywhere, not only in the interval of the theorem; very small ones would explain everything as signal.
    others = torch.logspace(-1, 1, 400, dtype=torch.float64) * float(spectrum.mean()) / longer
    low = float(spectrum[min(int(-(-shorter // (1 + alpha))) - 1, shorter - 1) :].mean()) / longer
    assert (
        energy(found) <= min((energy(v) for v in others.tolist() if v >= low), default=inf) + 1e-9 * shorter
    )


@pytest.mark.parametrize(
    ("shape", "rank", "noise"),
    [((40, 60), 3, 0.1), ((100, 100), 10, 1.0), ((64, 576), 20, 0.5), ((300, 20), 4, 1.0)],
)
def test_the_rank_under_noise_is_found(shape: tuple[int, int], rank: int, noise: float) -> None:
    matrix = torch.randn(shape[0], rank) @ torch.randn(rank, shape[1]) + noise * torch.randn(shape)
    assert ranks(linear(matrix), EVBMF()) == [(rank, rank)]
    spectrum = torch.linalg.svdvals(matrix.double()).square()
    variance = noise_variance(spectrum, max(shape))
    assert variance == pytest.approx(noise**2, rel=0.1)
    assert signal_rank(spectrum, max(shape), noise**2) == rank  # where the variance is known


def test_the_ranks_of_a_convolution_are_found() -> None:
    core, factors = torch.randn(6, 4, 3, 3), (torch.randn(48, 6), torch.randn(32, 4))
    weight = torch.einsum("abhw,oa,ib->oihw", core, *factors)
    layer = nn.Conv2d(32, 48, 3)
    layer.weight.data = weight + 0.3 * torch.randn(weight.shape)
    assert ranks(nn.Sequential(layer), EVBMF()) == [(6, 4, 3, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_noise_the_rank_is_that_of_the_matrix(dtype: torch.dtype) -> None:
    matrix = torch.randn(30, 5, dtype=torch.float64) @ torch.randn(5, 40, dtype=torch.float64)
    assert ranks(linear(matrix.to(dtype)), EVBMF()) == [(5, 5)]


def test_noise_alone_stays_dense() -> None:
    for weight in (torch.randn(30, 40), torch.eye(20), torch.randn(200, 200)):
        ((_, found, reason),) = answers(linear(weight), EVBMF())
        assert found is None
        assert reason == "kept dense: no component of it stands out of its noise (rank 0)"


def test_zero_is_of_rank_one() -> None:
    assert ranks(linear(torch.zeros(6, 9)), EVBMF()) == [(1, 1)]
    layer = nn.Conv2d(4, 5, 3)
    nn.init.zeros_(layer.weight)
    assert ranks(nn.Sequential(layer), EVBMF()) == [(1, 1, 3, 3)]


@given(st.integers(1, 60), st.integers(-60, 60))
def test_edge_cases_have_an_answer_that_does_not_depend_on_scale(longer: int, power: int) -> None:
    for spectrum in (
        [1.0],
        [1.0] * longer,
        [1.0] + [0.0] * (longer - 1),
        [0.0] * longer,
        [3.0, 1e-30][:longer],
    ):
        longest = max(longer, len(spectrum))
        values = torch.tensor(spectrum, dtype=torch.float64)
        one = noise_variance(values, longest)
        other = noise_variance(values * 2.0**power, longest)
        assert 0 <= one < inf
        assert other == pytest.approx(one * 2.0**power, rel=1e-5)
        assert 0 <= signal_rank(values, longest, one) <= len(spectrum)


def test_one_row_is_noise() -> None:
    values = torch.tensor([4.0], dtype=torch.float64)
    assert noise_variance(values, 16) == pytest.approx(0.25)  # all of it is noise
    assert signal_rank(values, 16, noise_variance(values, 16)) == 0


def test_ranks_that_save_nothing_stay_dense() -> None:
    # Of rank 1, but every one of the eight groups would need its own copy of the core.
    layer = nn.Conv2d(16, 16, 1, groups=8)
    noise = 0.1 * torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    layer.weight.data = (torch.ones(16, 2) + noise)[..., None, None]
    ((_, found, reason),) = answers(nn.Sequential(layer), EVBMF())
    assert found is None
    assert reason == "kept dense: at the ranks of EVBMF low rank saves no parameters"


def test_calibrated_weights_are_refused() -> None:
    (weight,) = views(linear(torch.randn(6, 5)))
    with pytest.raises(rf.OptionError, match="EVBMF: its noise is equal in all entries"):
        EVBMF().choose([replace(weight, calibrated=True)])

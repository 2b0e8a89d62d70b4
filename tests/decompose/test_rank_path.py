"""The rank that a list of residuals speaks for."""

import math

import pytest
import torch
from tests.decompose.cp_problems import exact, noise, noisy, settings

from rankfold.decompose._complete import CompleteData
from rankfold.decompose._rank_path import RankPath, chosen_rank, noise_gain, rank_path, rank_steps

SHAPE = (20, 20, 20)
COUNT = 8000


def path_of(residuals: list[float], first: int = 1) -> RankPath:
    return RankPath({}, dict(enumerate(residuals, start=first)), 1e-20)


def left(rank: int) -> int:
    """Degrees of freedom behind so many components."""
    return COUNT - rank * (sum(SHAPE) - len(SHAPE) + 1)


def white(start: float, signal: list[float], after: int = 3) -> list[float]:
    """Residuals that fall by the given factors, then as white noise lets them."""
    residuals = [start]
    for factor in signal:
        residuals.append(residuals[-1] * factor)
    for _ in range(after):
        residuals.append(residuals[-1] * math.exp(-0.8 * noise_gain(SHAPE) / left(len(residuals) + 1)))
    return residuals


def test_gain_of_noise_is_a_bound_with_little_to_spare() -> None:
    for shape in ((12, 12, 12), (6, 10, 15), (5, 6, 7, 8), (30, 20)):
        limit = noise_gain(shape)
        assert limit == pytest.approx((sum(math.sqrt(size) for size in shape) + 0.5) ** 2)
        for seed in range(4):
            x = noise(shape, seed)
            # The best component of all that alternating power steps find from many starts.
            best = 0.0
            for start in range(10):
                probe = [noise((size,), 100 * seed + start) for size in shape]
                value = torch.zeros(())
                for _ in range(60):
                    for mode in range(len(shape)):
                        image = x
                        for axis in reversed(range(len(shape))):
                            if axis != mode:
                                image = torch.tensordot(image, probe[axis], dims=([axis], [0]))
                        value = torch.linalg.vector_norm(image)
                        probe[mode] = image / value
                best = max(best, float(value))
            assert best**2 < limit
            assert best**2 > 0.4 * limit


def test_a_clear_rank_before_white_noise() -> None:
    for rank in (1, 2, 5):
        path = path_of(white(0.5, [0.5] * (rank - 1)))
        assert chosen_rank(path, COUNT, SHAPE) == rank


def test_nothing_but_noise_is_rank_one() -> None:
    path = path_of(white(math.exp(-0.8 * noise_gain(SHAPE) / left(1)), []))
    assert chosen_rank(path, COUNT, SHAPE) == 1


def test_a_weak_component_counts_as_soon_as_it_beats_noise() -> None:
    limit = noise_gain(SHAPE) / left(3)
    for share, rank in ((1.2, 3), (0.95, 2)):
        path = path_of(white(0.5, [0.5, math.exp(-share * limit)]))
        assert chosen_rank(path, COUNT, SHAPE) == rank


def test_two_components_that_only_pay_together() -> None:
    # The first of the two gains nothing, and both gain a lot.
    path = path_of(white(0.5, [0.5, 0.9999, 0.3]))
    assert chosen_rank(path, COUNT, SHAPE) == 4


def test_an_exact_fit_ends_the_path() -> None:
    path = path_of([0.5, 0.2, 1e-29])
    steps = rank_steps(path, COUNT, SHAPE)
    assert chosen_rank(path, COUNT, SHAPE) == 3
    assert steps[-1].evidence > 1
    assert chosen_rank(path_of([1e-30]), COUNT, SHAPE) == 1


def test_structured_residuals_take_the_largest_fall() -> None:
    # Every component gains far more than noise would, one of them stands out.
    path = path_of([0.9, 0.8, 0.1, 0.09, 0.08, 0.07, 0.06])
    assert chosen_rank(path, COUNT, SHAPE) == 3


def test_a_search_that_missed_a_smaller_error_gains_nothing() -> None:
    steps = rank_steps(path_of([0.5, 0.1, 0.3, 0.0999, 0.0998, 0.0997]), COUNT, SHAPE)
    assert steps[2].evidence == 0
    assert [step.rank for step in steps] == [1, 2, 3, 4, 5, 6]


def test_what_the_steps_say() -> None:
    residuals = white(0.25, [0.5, 0.25])
    steps = rank_steps(path_of(residuals), COUNT, SHAPE)
    limit = noise_gain(SHAPE)
    for step, residual in zip(steps, residuals, strict=True):
        assert step.relative_error == pytest.approx(residual**0.5)
        degrees = step.rank * (sum(SHAPE) - len(SHAPE) + 1)
        assert step.bic == pytest.approx(COUNT * math.log(residual / COUNT) + degrees * math.log(COUNT))
    # More came after it than noise gives, so it is held against that.
    assert steps[1].evidence == pytest.approx(left(2) * math.log(2) / (3 * left(3) * math.log(4)))
    assert steps[2].evidence == pytest.approx(left(3) * math.log(4) / limit)
    assert all(step.evidence == pytest.approx(0.8) for step in steps[3:])


def test_a_fit_with_as_many_parameters_as_entries_says_nothing() -> None:
    # 6 x 6 x 2 has rank 6 or 7 for almost all tensors, 6 components have 72 parameters.
    for count, shape, signal in ((72, (6, 6, 2), 3), (225, (15, 15), 3)):
        residuals = [10.0**-step for step in range(1, signal + 1)]
        rank, order = signal, len(shape)
        while residuals[-1] > 1e-20:
            rank += 1
            free = count - rank * (sum(shape) - (rank if order == 2 else order - 1))
            residuals.append(residuals[-1] * math.exp(-0.8 * noise_gain(shape) / free) if free > 0 else 1e-30)
        assert chosen_rank(path_of(residuals), count, shape) == signal


def test_path_of_a_small_tensor() -> None:
    data = CompleteData(noisy(exact((8, 9, 10), 3, 1), 0.02, 1))
    path = rank_path(data, settings(), most=20, count=data.count, shape=data.shape)
    ranks = sorted(path.residuals)
    assert ranks == list(range(1, ranks[-1] + 1))
    assert 3 + 3 <= ranks[-1] < 20
    assert chosen_rank(path, data.count, data.shape) == 3
    for rank, factors in path.factors.items():
        assert factors[0].shape[1] == rank
        residual = 2 * data.loss(factors) / data.norm**2
        assert path.residuals[rank] == pytest.approx(residual, rel=1e-9)
    # What compression lost is part of every residual.
    lost = rank_path(data, settings(), most=3, lost=0.1, count=data.count, shape=data.shape)
    plain = rank_path(data, settings(), most=3, count=data.count, shape=data.shape)
    for rank in plain.residuals:
        assert lost.residuals[rank] == pytest.approx(0.9 * plain.residuals[rank] + 0.1, rel=1e-6)

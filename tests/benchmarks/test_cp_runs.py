"""Runs of the sides: starts that know nothing of the tensor, failures that count as such."""

import pytest
import torch
from benchmarks._cp_problems import gaussian, seeded
from benchmarks._cp_runs import Run, run, share, start_seed


@pytest.mark.parametrize("seed", range(20))
def test_no_start_is_drawn_from_the_numbers_of_a_tensor(seed):
    # With the seed of the tensor itself, the first normal numbers are the true factors.
    tensors = torch.stack([gaussian((8, 8, 8), 11, seeded(other)).factors[0] for other in range(20)])
    begin = torch.randn(8, 11, generator=torch.Generator().manual_seed(start_seed(seed)), dtype=torch.float64)
    cosines = torch.nn.functional.cosine_similarity(tensors.flatten(1), begin.flatten(), dim=1)
    assert cosines.abs().max() < 0.5


def test_a_side_that_raises_has_failed_and_says_why(capsys):
    def side():
        raise ValueError("singular")

    one = run(side)
    assert one.factors is None
    assert one.failure == "ValueError: singular"
    assert "singular" in capsys.readouterr().out


def test_a_side_that_works_gives_its_factors():
    factors = [torch.ones(2, 1)] * 3
    one = run(lambda: factors)
    assert one == Run(factors, one.seconds)
    assert one.failure is None


def test_shares_are_counted():
    assert share([True, False, True]) == "2/3"

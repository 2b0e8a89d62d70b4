"""NaN and infinity at random places of a training: refused by name, nothing changed, the run goes on bit for bit."""

import pytest
import torch
from benchmarks.faults.not_finite import PLACES, case_of, tried

CASES = 24
FIRST = 18  # seeds from here on reach every place and integrator


@pytest.fixture(autouse=True)
def _keep_random_state():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_a_bad_gradient_changes_nothing(seed):
    assert tried(case_of(seed)) in ("holds", "not reached")


def test_the_cases_reach_every_place_and_integrator():
    cases = [case_of(seed) for seed in range(FIRST, FIRST + CASES)]
    assert {case.place for case in cases} == set(PLACES)
    assert {case.integrator for case in cases} == {"augmented", "parallel", "fixed"}
    assert {(case.core_steps, case.closure, case.half) for case in cases} >= {
        (1, False, False),
        (1, False, True),
        (1, True, False),
        (3, False, False),
    }


def test_a_check_that_is_left_out_is_noticed(monkeypatch):
    monkeypatch.setattr("rankfold.training._optimizer.require_finite_gradients", lambda *given: None)
    case = next(case for case in map(case_of, range(100)) if case.place == "dense")
    assert tried(case) == "no error"

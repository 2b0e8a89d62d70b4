"""The wide grid: every way to run several workers beside every kind of step."""

from functools import partial

import pytest
import torch
from tests.training.distributed.cases import GRID, SLOW_EVENTS
from tests.training.distributed.group import run_workers
from tests.training.distributed.test_equal_to_one_process import agree
from tests.training.distributed.test_events import SKIPPED, same
from tests.training.distributed.training import train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [2, 3])
def test_every_way_beside_every_step(tmp_path, workers):
    results = run_workers(
        workers, {name: partial(train, **run) for name, run in GRID.items()}, tmp_path, 1800
    )
    for name, run in GRID.items():
        agree(results[name], run)


def test_events_without_a_wrapper_and_with_options_of_it(tmp_path):
    results = run_workers(2, SLOW_EVENTS, tmp_path)
    for name in SLOW_EVENTS:
        same(results[name], "second" if name == "resumed" else "after")
    for name in ("static graph", "bucket view", "mean hook"):
        for parameter, value in results["default"][0]["after"].items():
            torch.testing.assert_close(results[name][0]["after"][parameter], value, rtol=1e-12, atol=1e-12)
    assert results["scaler"][0]["scales"] == SKIPPED
    assert all("NonFiniteError" in result["sentence"] for result in results["nan"])
    for parameter, value in results["resumed"][0]["first"].items():
        assert torch.equal(results["resumed"][0]["second"][parameter], value)
    for parameter, value in results["compiled"][0]["eager"].items():
        torch.testing.assert_close(results["compiled"][0]["after"][parameter], value, rtol=1e-10, atol=1e-10)

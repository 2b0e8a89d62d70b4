"""Several workers make the run of one process that has all samples, and hold the same bits."""

from itertools import pairwise

import pytest
import torch
from tests.training.distributed.cases import RUNS, RUNS_OF_THREE
from tests.training.distributed.training import batch, train


def agree(results, run):
    assert not any(isinstance(result, str) for result in results), results
    one = train(0, 1, **run)
    first = results[0]
    for other in results[1:]:
        assert other["ranks"] == first["ranks"]
        for part in ("parameters", "state"):
            assert other[part].keys() == first[part].keys()
            for name, value in first[part].items():
                assert torch.equal(torch.as_tensor(other[part][name]), torch.as_tensor(value)), name
    assert first["ranks"] == one["ranks"]
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-10)
    dense = {n: v for n, v in one["parameters"].items() if "core" not in n and "factor" not in n}
    found = {**first["weights"], **{name: first["parameters"][name] for name in dense}}
    for name, value in {**one["weights"], **dense}.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10, msg=name)
    return [sum(sum(ranks) for ranks in step.values()) for step in one["ranks"]]


@pytest.mark.parametrize("name", RUNS)
def test_two_workers_make_the_run_of_one(pair, name):
    agree(pair[name], RUNS[name])


@pytest.mark.parametrize("name", RUNS_OF_THREE)
def test_three_workers_make_the_run_of_one(three, name):
    agree(three[name], RUNS_OF_THREE[name])


@pytest.mark.parametrize("name", ["one-pass, Adam", "wrapped later"])
def test_ranks_grew_and_shrank_meanwhile(pair, name):
    ends = [sum(sum(ranks) for ranks in step.values()) for step in pair[name][0]["ranks"]]  # whole cycles
    steps = [after - before for before, after in pairwise(ends)]
    assert max(ends) > 16  # what the network begins with
    assert min(steps) < 0
    assert ends[-1] < max(ends)


def test_a_layer_was_used_by_one_worker_alone():
    used = []
    for step in range(9):
        x, _ = batch(step, 10)
        used.append([bool((x[worker::2, 0, 0, 0] > 1.2).any()) for worker in range(2)])
    assert [True, False] in used
    assert [False, True] in used
    assert [False, False] in used

"""What the step benchmark calls one step does the work it stands for."""

import pytest
import torch
from benchmarks._step_sides import CycleSide, PublishedSide, Side, random_batches
from torch import nn

from rankfold import factorize

RANK = 3


def network() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    factorize(model, RANK, exclude=["0", nn.Linear], rescale=True)
    return model


def batches():
    return random_batches((3, 4, 4), 16, "cpu", 3)


@pytest.mark.parametrize(
    ("options", "steps", "widest"),
    [
        ({"core_steps": 1}, 1, 2 * RANK),
        # The inner optimiser moves bases beside the cores before these are widened.
        ({"core_steps": 1, "integrator": "parallel"}, 1, RANK),
        ({"core_steps": 10}, 11, 2 * RANK),
        ({"core_steps": 1, "freeze_bases_after": 0}, 1, RANK),
        ({"core_steps": 1, "basis_every": 3}, 3, 2 * RANK),
    ],
)
def test_a_call_is_one_cycle_and_keeps_the_ranks(
    options, steps: int, widest: int, monkeypatch: pytest.MonkeyPatch
):
    side = CycleSide(network(), batches(), RANK, options)
    layer = side.model[2]
    ranks, step = [], side.optimizer.inner.step

    def spy() -> None:
        ranks.append(layer.ranks[0])
        step()

    monkeypatch.setattr(side.optimizer.inner, "step", spy)
    side()  # with basis_every the first step makes a cycle by itself
    for _ in range(2):
        side()
        assert side.steps_per_call == steps
        side.check()
    assert max(ranks) == widest


def test_the_check_sees_moved_ranks():
    side = CycleSide(network(), batches(), RANK, {"core_steps": 1, "max_rank": RANK + 1})
    side()
    with pytest.raises(AssertionError, match="ranks moved"):
        side.check()


@pytest.mark.parametrize("kind", [Side, PublishedSide])
def test_every_step_takes_the_next_batch(kind: type[Side]):
    side = kind(network(), batches())
    seen = []
    for _ in range(4):
        before = [parameter.detach().clone() for parameter in side.model.parameters()]
        side()
        side.check()
        seen.append(side.batch[0].data_ptr())
        moved = [not torch.equal(a, b) for a, b in zip(before, side.model.parameters(), strict=True)]
        assert all(moved)
    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[0]

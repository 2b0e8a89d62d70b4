"""What the guide to initialisers and regularisers shows is true: its blocks run, and its claims hold."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rankfold.regularize
from rankfold import CP, TT, Tucker
from rankfold.init import INITIALIZERS

PAGE = "docs/regularize.md"
GUIDE = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    return names


def test_formats_of_the_first_block(shown: dict[str, Any]) -> None:
    assert {name: type(value) for name, value in shown["values"].items()} == {"2": TT, "5": TT}
    assert shown["values"]["2"].shape == (32 * 3, 16 * 3)
    assert type(shown["tucker"][2].tucker) is Tucker
    assert CP not in map(type, shown["values"].values())


def test_starts(shown: dict[str, Any]) -> None:
    assert [row.name for row in shown["drawn"]] == ["2", "5"]
    stds = [1 / (3 * fan_in) ** 0.5 for fan_in in (16 * 9, 1152)]
    for rows in (shown["drawn"], shown["exact"]):
        assert [row.std for row in rows] == pytest.approx(stds, rel=1e-5)
    for name in INITIALIZERS:
        assert f"`{name}`" in GUIDE


def test_no_start_and_no_decay_wins_on_digits(shown: dict[str, Any]) -> None:
    means = {case: sum(seeds) / len(seeds) for case, seeds in shown["reached"].items()}
    assert len(means) == 4
    assert min(means.values()) > 90
    assert max(means.values()) - min(means.values()) < 2


def test_depth_three_finds_the_rank(shown: dict[str, Any]) -> None:
    (two, two_error), (three, three_error) = shown["found"][2], shown["found"][3]
    assert three == (2,)
    assert two[0] > 2
    assert three_error < two_error


def accuracy(shown: dict[str, Any], model: nn.Module) -> float:
    with torch.no_grad():
        return float((model(shown["tests"]).argmax(1) == shown["digits"].test_targets).float().mean())


def test_balanced_with_tdlrt_cuts_more_and_costs_accuracy(shown: dict[str, Any]) -> None:
    without, with_penalty = shown["ranks"]
    assert all(low[0] < 0.8 * high[0] for low, high in zip(with_penalty, without, strict=True))
    reached = [accuracy(shown, shown[name]) for name in ("without", "with_penalty")]
    assert reached[0] > reached[1] > 0.8


def test_zeros_and_accuracy(shown: dict[str, Any]) -> None:
    assert all(row.kept < 0.2 * row.entries for row in shown["rows"])
    assert shown["right"] > 0.85
    assert all(
        value < 1e-3 * row.entries for value, row in zip(shown["uneven"].values(), shown["rows"], strict=True)
    )
    assert [type(layer) for layer in shown["sparse"]] == [nn.Linear, nn.ReLU, nn.Linear]


def test_dropout_acts_in_training_only(shown: dict[str, Any]) -> None:
    assert shown["names"] == ("2", "5")
    assert not torch.equal(shown["noisy"], shown["certain"])


def test_scale_moves_and_the_function_stays(shown: dict[str, Any]) -> None:
    assert [row.factor for row in shown["scaled"]] == pytest.approx([0.5, 1.0, 2.0])
    torch.testing.assert_close(shown["after"], shown["before"], rtol=1e-4, atol=1e-5)
    after = [row.after for row in shown["curved"]]
    assert max(after) < 1.1 * min(after)
    assert float(shown["spread"].detach()) > 0


def test_every_public_function_is_named() -> None:
    for name in rankfold.regularize.__all__:
        if name[0].islower() or name in ("FrobeniusDecay", "GatedRank", "SpectralPenalty"):
            assert name in GUIDE, name

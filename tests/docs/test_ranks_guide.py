"""What the guide to rank policies shows is true: its blocks run, its claims hold, and it names every policy."""

import re

import torch
from tests.docs.pages import Shown, text_of
from torch import nn

import rankfold
from rankfold.convert import POLICIES

PAGE = "docs/ranks.md"
GUIDE = text_of(PAGE)
TEXT = " ".join(GUIDE.split())
TABLE = [line for line in GUIDE.splitlines() if line.startswith("|")]


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_budget_is_spent_to_within_one_rank(shown: Shown) -> None:
    assert (
        "has 51850 parameters, and `plain` has 20106 of the 20740 allowed; one rank more would be 640" in TEXT
    )
    assert (size(shown["network"]()), size(shown["plain"])) == (51850, 20106)
    assert int(0.4 * 51850) == 20740 < 20106 + 640 == 20106 + 64 + 64 * 9


def test_a_size_is_reached_from_below(shown: Shown) -> None:
    reached = size(shown["fresh"])
    assert f"`fresh` trains {reached} of the 20740 parameters allowed" in TEXT
    assert 0.995 * 20740 <= reached <= 20740


def test_one_factor_where_another_would_be_full(shown: Shown) -> None:
    assert "layer 2 with ranks (64, 8, 3, 3), which is one factor" in TEXT
    rows = {row.name: row for row in shown["conversion"]}
    assert rows["2"].ranks == (64, 8, 3, 3)
    assert shown["model"][2].modes == (1,)
    assert rows["0"].ranks is rows["6"].ranks is None
    assert rows["0"].reason == rows["6"].reason == "kept dense: within the budget no rank is worth its error"


def test_the_other_policies_do_something(shown: Shown) -> None:
    for name, limit in (("fewer", 51850), ("measured", 20740), ("own", 51850)):
        assert size(rankfold.fold(shown[name])) < limit


def test_the_table_names_every_policy() -> None:
    for info in POLICIES.values():
        assert any(f"`{info.example}`" in line for line in TABLE), info.name
    for text in re.findall(r"`([a-z]+[ =][^`]*)`", "".join(TABLE)):
        rankfold.parse_policy(text, torch.zeros(1))
    for call in re.findall(r"`([A-Z]\w+\([^`]*\))`", "".join(TABLE)):
        names = {
            **{name: getattr(rankfold, name) for name in rankfold.__all__},
            "x": torch.zeros(1),
            "evaluate": float,
        }
        assert isinstance(eval(call, names), rankfold.RankPolicy)

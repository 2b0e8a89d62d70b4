"""What the guide to orthogonal training shows is true: its blocks run, its claims hold, and it names every map."""

import re

from tests.docs.pages import Shown, text_of
from torch import nn
from torch.nn.utils import parametrize

from rankfold.layers import orthogonal_matrices
from rankfold.linalg import ORTHOGONAL_MAPS

PAGE = "docs/orthogonal.md"
GUIDE = text_of(PAGE)


def test_the_energy_is_kept_and_the_layer_plain(shown: Shown) -> None:
    assert abs(shown["kept"] - shown["energy"]) < 1e-6 * shown["energy"]
    assert type(shown["model"][0]) is nn.Conv2d
    rows = {row.name: row for row in shown["rows"]}
    assert (rows["0"].size, rows["3"].reason) == (9, "not included")


def test_two_iterations_drift_slowly(shown: Shown) -> None:
    assert 0 < shown["drift"] < 1e-2


def test_blocks_are_a_quarter(shown: Shown) -> None:
    assert shown["large"][0].parametrizations.weight.original.shape == (16, 16)
    assert parametrize.is_parametrized(shown["large"][0])
    assert orthogonal_matrices(shown["large"])["0"].shape == (64, 64)


def test_the_table_names_every_map() -> None:
    assert re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)[1:] == list(ORTHOGONAL_MAPS)

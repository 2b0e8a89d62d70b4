"""What the guide to checkpoints shows is true: its blocks run, and its claims hold."""

import json
from copy import deepcopy
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tests.docs.pages import Shown, blocks_of, text_of
from torch import Tensor

PAGE = "docs/checkpoints.md"
GUIDE = text_of(PAGE)
AGAIN = ("again", "its_optimizer", "its_schedule")


def steps(names: dict[str, Any], model: str, optimizer: str, schedule: str) -> dict[str, Tensor]:
    """The state of a copy that was trained on, so that other tests find what the page left."""
    parts = deepcopy([names[model], names[optimizer], names[schedule]])
    for seed in range(5, 12):
        names["step"](*parts, seed)
    return parts[0].state_dict()


def test_ranks_come_from_the_file(shown: Shown) -> None:
    assert "`plain[0].ranks` is (6, 3, 3, 3) now" in " ".join(GUIDE.split())
    assert shown["plain"][0].ranks == (6, 3, 3, 3)


def test_the_run_goes_on_bit_for_bit(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shown.folder)
    (resume,) = (block.text for block in blocks_of(PAGE) if "its_schedule = " in block.text)
    names = dict(shown.names)
    exec(resume, names)
    one, two = steps(names, "model", "optimizer", "schedule"), steps(names, *AGAIN)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["0.bias"], shown["model"].state_dict()["0.bias"])


def test_ranks_are_set(shown: Shown) -> None:
    assert shown["again"][0].ranks == (8, 3, 3, 3)
    assert shown["again"][4].ranks == shown["records"]["4"].ranks == (4, 4)
    shown["step"](*(shown[name] for name in AGAIN), 20)


def test_the_file_holds_what_the_table_says(shown: Shown) -> None:
    with safe_open(shown.folder / "run.safetensors", framework="pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    header = json.loads(metadata["rankfold"])
    assert {"4.core", "4.factor_0", "4.ranks"} <= names
    assert any(name.startswith("optimizer:") for name in names)
    assert header.keys() == {"version", "versions", "layers", "aliases", "optimizer", "scheduler"}
    assert header["layers"]["4"].keys() == {"kind", "modes", "ranks", "shape"}
    assert header["optimizer"].keys() == {"class", "parameters", "tree"}
    assert header["version"] == "rankfold-2"
    assert len(metadata["rankfold-sha256"]) == 64

"""What the guide to checkpoints shows is true: its blocks run, and its claims hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

GUIDE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("guide"))
        names["folder"] = Path.cwd()
        for block in BLOCKS[:-1]:
            exec(block, names)
        names["resumed"] = [_steps(names, *which) for which in (_FIRST, _AGAIN)]
        exec(BLOCKS[-1], names)
    return names


_FIRST = ("model", "optimizer", "schedule")
_AGAIN = ("again", "its_optimizer", "its_schedule")


def _steps(names: dict[str, Any], model: str, optimizer: str, schedule: str) -> dict[str, Tensor]:
    for seed in range(5, 12):
        names["step"](names[model], names[optimizer], names[schedule], seed)
    return {name: value.clone() for name, value in names[model].state_dict().items()}


def test_ranks_come_from_the_file(shown: dict[str, Any]) -> None:
    assert "`plain[0].ranks` is (6, 3, 3, 3) now" in " ".join(GUIDE.split())
    assert shown["plain"][0].ranks == (6, 3, 3, 3)


def test_the_run_goes_on_bit_for_bit(shown: dict[str, Any]) -> None:
    one, two = shown["resumed"]
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_ranks_are_set(shown: dict[str, Any]) -> None:
    assert shown["again"][0].ranks == (8, 3, 3, 3)
    assert shown["again"][4].ranks == shown["records"]["4"].ranks == (4, 4)
    shown["step"](*(shown[name] for name in _AGAIN), 20)


def test_the_file_holds_what_the_table_says(shown: dict[str, Any]) -> None:
    with safe_open(shown["folder"] / "run.safetensors", framework="pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    header = json.loads(metadata["rankfold"])
    assert {"4.core", "4.factor_0", "4.ranks"} <= names
    assert any(name.startswith("optimizer:") for name in names)
    assert header.keys() == {"version", "versions", "layers", "aliases", "optimizer", "scheduler"}
    assert header["layers"]["4"].keys() == {"kind", "modes", "ranks", "shape"}
    assert header["optimizer"].keys() == {"class", "parameters", "tree"}
    assert header["version"] == "rankfold-2"
    assert len(metadata["rankfold-sha256"]) == 64

"""What the guides to extending have in common: short examples of public names that keep their contracts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.docs.extend import ROOT, Guide, lines_of_code, registries_as_before

import rankfold
from rankfold import testing
from rankfold.training import TRANSPORT_RULES

PAGES = {
    "integrator": "docs/extend/integrator.md",
    "rank_policy": "docs/extend/rank_policy.md",
    "solver": "docs/extend/solver.md",
    "layer": "docs/extend/layer.md",
}
README = (ROOT / "docs" / "extend" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Guide]:
    folder = tmp_path_factory.mktemp("extend")
    return {name: Guide(page, folder / name) for name, page in PAGES.items()}


@pytest.mark.parametrize("name", PAGES)
def test_the_example_is_short_and_takes_public_names_only(guides: dict[str, Guide], name: str) -> None:
    first, *_ = guides[name].files.values()
    assert lines_of_code(first) <= 30
    for code in guides[name].files.values():
        assert not re.search(r"(?:from|import) rankfold(?:\.\w+)*\._", code)
        assert not re.search(r"rankfold\.\S*\b_\w", code)


def test_the_contracts_hold(guides: dict[str, Guide]) -> None:
    """The files named test_... run as those of a user do, in a process of their own, with warnings as errors."""
    files = [
        guide.folder / name for guide in guides.values() for name in guide.files if name.startswith("test_")
    ]
    assert len(files) == len(PAGES)
    library = str(Path(rankfold.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *map(str, files)],
        cwd=files[0].parents[1],
        env={**os.environ, "PYTHONPATH": library},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 150


def test_the_overview_registers_an_optimiser_and_names_what_there_is() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with registries_as_before():
        exec(block, {})
        rule = TRANSPORT_RULES["NAdam"]
        state = torch.optim.NAdam([parameter := torch.nn.Parameter(torch.ones(2, 2))])
        parameter.grad = torch.ones(2, 2)
        state.step()
        shaped = {name for name, value in state.state[parameter].items() if value.shape == (2, 2)}
        assert shaped == {*rule.first, *rule.second}
    contracts = re.findall(r"\b(\w+Contract)\b", README)
    assert len(contracts) == len(PAGES)
    assert set(contracts) <= set(testing.__all__)
    for place in re.findall(r"`((?:src|tests|tools|benchmarks)(?:/[\w.]+)*)`", README):
        assert (ROOT / place).exists(), place
    for guide in PAGES.values():
        assert f"({Path(guide).name})" in README

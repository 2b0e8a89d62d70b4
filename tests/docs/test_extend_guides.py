"""What the guides to extending show is true: short examples that work, keep the contracts, and print what is shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.docs.extend import ROOT, Guide, figures, lines_of_code, registries_as_before

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


def test_integrator(guides: dict[str, Guide]) -> None:
    guide = guides["integrator"]
    compare, train, resume = guide.commands
    printed = guide.run(compare)
    (shown,) = guide.outputs
    assert re.sub(r"[\d.]+", "#", printed) == re.sub(r"[\d.]+", "#", shown)
    for found, claimed in zip(printed.splitlines(), shown.splitlines(), strict=True):
        (right, rank, widest), (right_shown, rank_shown, widest_shown) = figures(found), figures(claimed)
        assert right == pytest.approx(right_shown, abs=4)  # one of 497 digits is 0.2 points
        assert rank == pytest.approx(rank_shown, abs=3)
        assert widest == widest_shown
    assert guide.run(train)
    assert '"integrator": "leading"' in (guide.folder / "run" / "config.json").read_text(encoding="utf-8")
    assert guide.run(resume)


def test_rank_policy(guides: dict[str, Guide]) -> None:
    guide = guides["rank_policy"]
    compare, train, compress, inspect = guide.commands
    assert guide.run(compare) == guide.outputs[0]
    guide.run(train)
    printed = guide.run(compress)
    assert "effective=0.3" in printed
    assert re.search(r"layers +\d of 4 compressed", printed)
    assert "effective" in guide.run(inspect)


def test_solver(guides: dict[str, Guide]) -> None:
    guide = guides["solver"]
    compare, decompose = guide.commands
    found, claimed = (text.splitlines() for text in (guide.run(compare), guide.outputs[0]))
    for line, shown in zip(found, claimed, strict=True):
        assert line.partition(":")[0] == shown.partition(":")[0]
        assert figures(line)[0] == pytest.approx(figures(shown)[0], rel=0.15)
        assert figures(line)[1] < 1e-8  # where the last sweep ends is a matter of rounding
    assert "results: found" in guide.run(decompose)
    assert rankfold.load_decomposition(guide.folder / "found" / "factors.safetensors").ranks == (5,)


def test_layer(guides: dict[str, Guide]) -> None:
    guide = guides["layer"]
    compare, compress = guide.commands
    printed = guide.run(compare)
    assert printed.startswith(guide.outputs[0])
    assert "(1): ConvTranspose1d(" in printed
    assert "ConvTranspose1d" in guide.run(compress)
    assert (guide.folder / "net-compressed.safetensors").is_file()


def test_nothing_stays_registered() -> None:
    for registry in (rankfold.training.INTEGRATORS, rankfold.decompose.METHODS, rankfold.convert.POLICIES):
        assert not {"leading", "accelerated", "effective"} & set(registry)


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

"""The guide to CP methods: sweeps saved, and the command line with one more method."""

import pytest
from tests.docs.extend import Guide, figures

import rankfold
from rankfold.decompose import METHODS

PAGE = "docs/extend/solver.md"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    return Guide(PAGE, tmp_path_factory.mktemp("guide"))


def test_it_works_and_prints_what_is_shown(guide: Guide) -> None:
    compare, decompose = guide.commands
    found, claimed = (text.splitlines() for text in (guide.run(compare), guide.outputs[0]))
    for line, shown in zip(found, claimed, strict=True):
        assert line.partition(":")[0] == shown.partition(":")[0]
        assert figures(line)[0] == pytest.approx(figures(shown)[0], rel=0.15)
        assert figures(line)[1] < 1e-8  # where the last sweep ends is a matter of rounding
    assert "results: found" in guide.run(decompose)
    assert rankfold.load_decomposition(guide.folder / "found" / "factors.safetensors").ranks == (5,)
    assert "accelerated" not in METHODS

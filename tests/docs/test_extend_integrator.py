"""The guide to integrators: two trainings side by side, and the command line with one more name."""

import re

import pytest
from tests.docs.extend import Guide, figures

PAGE = "docs/extend/integrator.md"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    return Guide(PAGE, tmp_path_factory.mktemp("guide"))


def test_it_works_and_prints_what_is_shown(guide: Guide) -> None:
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

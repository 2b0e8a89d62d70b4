"""docs/faults.md: its blocks run, and its tables are those of the committed results, in which nothing was lost."""

import json

from tests.docs.pages import Shown
from tools.faults_page import HEADING, PAGE, ROOT, counted


def result(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / "results" / f"faults_{name}.json").read_text(encoding="utf-8"))


def test_the_blocks_run(run_once) -> None:
    assert isinstance(run_once("docs/faults.md"), Shown)


def test_the_tables_are_those_of_the_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert HEADING + text.partition(HEADING)[2] == counted(), "run python -m tools.faults_page"


def test_kills_and_disks_lost_nothing() -> None:
    kills = result("kills")["rows"]
    assert [(row["losses"], row["kills"] >= 200, row["in_a_write"] > 50) for row in kills] == [
        (0, True, True)
    ] * 2
    assert all(row["equal"] and row["restarts"] == row["kills"] for row in result("elastic")["rows"])
    assert all(row["failed"] == 0 and row["read_only"] == 1 for row in result("full_disk")["rows"])


def test_no_gradient_that_is_not_finite_changed_anything() -> None:
    assert result("not_finite")["failures"] == []
    assert sum(row["holds"] for row in result("not_finite")["rows"]) >= 500


def test_the_soak_neither_grew_nor_drifted_nor_swung() -> None:
    rows = result("soak")["rows"]
    assert {(row["integrator"], row["core_steps"]) for row in rows} == {
        (integrator, steps) for integrator in ("augmented", "parallel") for steps in (1, 10)
    }
    for row in rows:
        assert row["steps"] == 100_000
        # Memory grows by the arena of Python's allocator; a leak of one block a step would show in blocks, too.
        assert row["bytes_per_step"] * row["steps"] / 2 < 2**20
        assert row["blocks_more"] < 1000
        assert row["objects_more"] < 100
        assert row["defect"] <= 1e-5
        assert row["swings"] == 0

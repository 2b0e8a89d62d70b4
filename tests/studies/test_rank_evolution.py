"""Ranks over training: the formulas against training, and the study at tiny sizes."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.data import load_dataset
from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies import _rank_evolution_parts as parts
from rankfold.studies._rank_evolution import RANK_EVOLUTION
from rankfold.studies._rank_evolution_parts import PARTS, TRUE_RANK, growth_factor, teacher

ZONE = {
    "part": "dead zone",
    "tolerance": 0.08,
    "core_steps": 4,
    "rates": [0.001, 0.5],
    "start": 2,
    "steps": 40,
    "seed": 0,
}


@pytest.fixture(autouse=True)
def digits(monkeypatch):
    """The digits of scikit-learn in place of MNIST: the same shapes, no files."""
    monkeypatch.setattr(parts, "load_dataset", lambda name, data_dir: load_dataset("digits"))
    parts._dataset.cache_clear()
    yield
    parts._dataset.cache_clear()


def test_the_teacher_has_its_rank():
    values = torch.linalg.svdvals(teacher(3))
    torch.testing.assert_close(values[:TRUE_RANK], 0.7 ** torch.arange(TRUE_RANK, dtype=torch.float64))
    assert float(values[TRUE_RANK]) < 1e-14


@pytest.mark.parametrize("steps", [1, 5])
def test_the_growth_factor_is_that_of_gradient_steps(steps):
    core, target = torch.zeros(3, dtype=torch.float64), torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for _ in range(steps):
        core = core - 0.2 * (core - target)
    torch.testing.assert_close(core, growth_factor(0.2, steps) * target)


def test_the_border_is_where_the_growth_factor_meets_the_threshold():
    record = PARTS["dead zone"](ZONE, Setting())
    rates = [record["border"] * factor for factor in (0.999, 1.001)]
    runs = PARTS["dead zone"]({**ZONE, "rates": rates}, Setting())["runs"]
    assert [run["predicted"] for run in runs] == [False, True]


def test_a_small_learning_rate_does_not_grow_and_a_large_one_does():
    small, large = PARTS["dead zone"](ZONE, Setting())["runs"]
    assert (small["grew"], large["grew"]) == (False, True)
    assert (small["predicted"], large["predicted"]) == (False, True)
    assert large["loss"] < small["loss"]


def test_a_tolerance_that_no_learning_rate_reaches_has_no_border():
    record = PARTS["dead zone"]({**ZONE, "tolerance": 0.99, "start": 23, "steps": 1}, Setting())
    assert record["border"] is None
    assert not any(run["predicted"] for run in record["runs"])


def test_matched_ends_are_those_of_their_tolerances():
    case = {"part": "matched", "tolerance": 0.2, "lr": 0.5, "steps": 8, "halvings": 4, "seed": 0}
    record = PARTS["matched"](case, Setting())
    for name in ("augmented", "parallel"):
        assert parts._ends(name, record[f"{name} tolerance"], case) == (
            record[f"{name} ranks"],
            record[f"{name} loss"],
        )
    assert record["augmented ranks"] >= record["wanted"]


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **RANK_EVOLUTION.quick,
        "images": 256,
        "test_images": 100,
        "epochs": 6,
        "start_steps": 22,
        "trainings": [
            ["dense", "full", 0.0, 1],
            ["augmented", "full", 0.1, 10],
            ["augmented", "full", 0.3, 10],
            ["augmented", 2, 0.1, 10],
        ],
        "core_steps": [1, 16],
        "dead_zone_tolerances": [0.04],
        "rates": [0.001, 0.008, 0.064, 0.512],
        "dead_zone_steps": 34,
        "matched_rates": [0.5],
        "matched_tolerances": [0.1],
        "matched_runs": 1,
        "halvings": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "load_dataset", lambda name, data_dir: load_dataset("digits"))
        parts._dataset.cache_clear()
        run = StudyRun(study=RANK_EVOLUTION.name, size="tiny", parameters=parameters)
        return run_study(RANK_EVOLUTION, run, Setting())


def test_every_check_is_decided_at_tiny_sizes(tiny):
    assert tiny.missing == ()
    findings = judge(RANK_EVOLUTION.checks, tiny.records(RANK_EVOLUTION))
    undecided = {finding.name for finding in findings if finding.holds is None}
    assert undecided <= {"matched loss"}  # two halvings need not find equal ranks
    holds = {finding.name: finding.holds for finding in findings}
    for name in ("decay monotone", "starts network", "dead zone condition", "dead zone inside"):
        assert holds[name], name


def test_growth_inside_the_dead_zone_would_be_seen(tiny):
    def grown(row):
        if row["part"] != "dead zone":
            return row
        return {**row, "runs": [{**run, "grew": True, "grew_first": True} for run in row["runs"]]}

    records = Records(RANK_EVOLUTION.cases(tiny.parameters), [grown(row) for row in tiny.rows])
    holds = {finding.name: finding.holds for finding in judge(RANK_EVOLUTION.checks, records)}
    assert holds["dead zone condition"] is False
    assert holds["dead zone inside"] is False


def test_ranks_begin_with_the_start_and_end_with_the_network(tiny):
    rows = {(row["start"], row["tolerance"]): row for row in tiny.rows if row["part"] == "training"}
    assert rows["full", 0.0]["ranks"] == {}
    assert rows["full", 0.3]["ranks"]["linear1"][0] == [0, 1000]
    assert rows[2, 0.1]["ranks"]["linear1"][0] == [0, 4]
    assert rows["full", 0.3]["parameters"] < rows["full", 0.1]["parameters"]
    assert rows["full", 0.0]["parameters"] == 431_080


def test_a_case_stands_alone(tiny):
    row = next(row for row in tiny.rows if row.get("start") == 2 and row["part"] == "training")
    case = next(c for c in RANK_EVOLUTION.cases(tiny.parameters) if c.items() <= row.items())
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert {**case, **PARTS["training"](case, Setting())} == row
    assert torch.equal(torch.random.get_rng_state(), before)


def test_partial_records_show(tiny):
    cases = RANK_EVOLUTION.cases(tiny.parameters)
    some = [[row for row in tiny.rows if row["part"] == part] for part in PARTS]
    for rows in [[], tiny.rows[::2], tiny.rows, *some]:
        records = Records(cases, rows)
        RANK_EVOLUTION.plot(records, Figure(layout="constrained"))
        assert any(table.rows for table in RANK_EVOLUTION.tables(records)) == bool(rows)

"""Gates on ranks: formulas by hand, and the study at a tiny size."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.studies import Setting, StudyRun, judge, run_study
from rankfold.studies._gated_rank import GATED_RANK
from rankfold.studies._gated_rank_runs import NORM, RANK, RUNS, noisy_matrix
from rankfold.studies._gated_rank_views import at_equal_size

STUDY = GATED_RANK


def case(form: str, depth: int, strength: float) -> dict[str, Any]:
    return {"part": "matrix", "form": form, "depth": depth, "strength": strength, "seed": 5}


def test_the_target_is_what_it_says() -> None:
    clean, noisy = noisy_matrix(3)
    assert int(torch.linalg.matrix_rank(clean)) == RANK
    assert float(clean.norm()) == pytest.approx(NORM)
    assert float((noisy - clean).norm()) == pytest.approx(0.15 * NORM)


def test_one_and_two_parts_are_shrinkage_in_closed_form() -> None:
    """Weight decay of the matrix divides it by 1 + 2 strength; of two factors it is a soft threshold."""
    clean, noisy = noisy_matrix(5)
    left, values, right = torch.linalg.svd(noisy, full_matrices=False)
    for form, depth, kept in (("dense", 1, values / 5), ("tt", 2, (values - 2).clamp_min(0))):
        row = RUNS["matrix"](case(form, depth, 2.0), Setting())
        expected = float((left * kept @ right - clean).norm() / clean.norm())
        assert row["error"] == pytest.approx(expected, rel=1e-4)
        assert row["rank"] == int((kept > 0).sum())


@pytest.mark.parametrize(("form", "depth"), [("tt", 3), ("cp", 3), ("tucker", 3)])
def test_gates_find_the_rank(form: str, depth: int) -> None:
    row = RUNS["matrix"](case(form, depth, 2.0), Setting())
    assert row["rank"] == RANK


def test_accuracy_is_compared_at_equal_size() -> None:
    fixed = [{"parameters": size, "accuracy": a} for size, a in ((100, 50), (100, 60), (300, 75))]
    assert at_equal_size(fixed, {"parameters": 200, "accuracy": 70}) == pytest.approx(5)
    assert at_equal_size(fixed, {"parameters": 10, "accuracy": 70}) == pytest.approx(15)
    assert at_equal_size(fixed, {"parameters": 900, "accuracy": 70}) == pytest.approx(-5)
    assert at_equal_size(fixed[:2], {"parameters": 900, "accuracy": 70}) == pytest.approx(15)


def test_the_study_at_a_tiny_size() -> None:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 1,
        "forms": [["dense", 1], ["tt", 2], ["tt", 3]],
        "strengths": [2.0],
        "network_seeds": 1,
        "network_epochs": 1,
        "network_depths": [2, 3],
        "network_strengths": [0.01],
        "network_ranks": [2, 4],
    }
    run = run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())
    assert not run.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, run.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("least", "bound", "D = 3", "control: D = 1"):
        assert findings[name].holds, findings[name]
    assert not findings["D = 2"].holds  # at this strength two factors are cut to the rank, and shrunk
    figure = Figure()
    STUDY.plot(run.records(STUDY), figure)
    figure.draw_without_rendering()
    assert all(table.rows for table in STUDY.tables(run.records(STUDY)))

"""Spectral start and decay of the product: the study at a tiny size without images, and its ranks."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from rankfold.studies import Setting, StudyRun, judge, run_study
from rankfold.studies._spectral_init import SPECTRAL_INIT
from rankfold.studies._spectral_init_training import METHODS, rank_share, train_images

STUDY = SPECTRAL_INIT
TINY: dict[str, Any] = {
    **STUDY.quick,
    "digit_seeds": 2,
    "ranks": [4],
    "digit_recipes": [[0.1, 1e-3], [0.05, 1e-3]],
    "digit_epochs": 2,
    "image_seeds": 1,
    "sizes": [0.05],
    "recipes": [[0.05, 1e-3]],
}


def test_what_needs_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANKFOLD_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    setting = Setting(data_dir=tmp_path)
    run = run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=TINY), setting)
    assert {missing.case["part"] for missing in run.missing} <= {"images"}
    records = run.records(STUDY)
    findings = {finding.name: finding for finding in judge(STUDY.checks, records)}
    for name in ("tail", "balance", "nuclear norm", "gradients", "no other decay", "kernel"):
        assert findings[name].holds, findings[name]
    assert findings["control: no permutation"].holds
    assert findings["digits: no worse"].holds is not None
    figure = Figure()
    STUDY.plot(records, figure)
    figure.draw_without_rendering()
    assert STUDY.tables(records)[1].rows


@pytest.mark.skipif(not os.environ.get("RANKFOLD_DATA"), reason="needs Fashion-MNIST: set RANKFOLD_DATA")
@pytest.mark.parametrize("method", METHODS)
def test_images(method: str) -> None:
    case = {
        "method": method,
        "size": 0.1,
        "recipe": [0.05, 1e-3],
        "images": 128,
        "held out images": 64,
        "test images": 64,
        "epochs": 1,
        "batch size": 64,
        "seed": 0,
    }
    row = train_images(case, Setting())
    assert row["kept %"] == 100 if method == "dense" else 5 < row["kept %"] <= 10
    assert 0 <= row["test"] <= 100
    assert train_images(case, Setting()) == row


@given(
    st.lists(st.tuples(st.integers(8, 60), st.integers(8, 60)), min_size=1, max_size=4), st.floats(0.3, 1.0)
)
def test_ranks_fit_the_size_and_are_the_largest_share_that_does(
    shapes: list[tuple[int, int]], size: float
) -> None:
    total = sum(rows * columns for rows, columns in shapes)

    def parameters(share: float) -> int:
        return sum(max(round(share * min(shape)), 1) * sum(shape) for shape in shapes)

    share = rank_share(shapes, size)
    assert parameters(share) <= size * total
    larger = [rank / min(shape) for shape in shapes for rank in range(1, min(shape) + 1)]
    assert all(parameters(other) > size * total for other in larger if other > share)

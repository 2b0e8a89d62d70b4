"""Classifiers of coarse signals, refined."""

from typing import Any

import torch

from rankfold.studies import StudyRun, judge, run_study
from rankfold.studies._multiscale import MULTISCALE
from rankfold.studies._multiscale_runs import morton_order
from rankfold.studies._study import Setting


def test_the_curve_keeps_neighbours_together() -> None:
    order = morton_order(8)
    assert sorted(order.tolist()) == list(range(64))
    rows, columns = order // 8, order % 8
    for size in (4, 16):  # of squares that are read one after the other
        side = int(size**0.5)
        for block in range(0, 64, size):
            part = slice(block, block + size)
            assert int(rows[part].max() - rows[part].min()) == side - 1
            assert int(columns[part].max() - columns[part].min()) == side - 1
    assert torch.equal(morton_order(1), torch.tensor([0]))


def test_a_tiny_run_decides_every_check() -> None:
    parameters: dict[str, Any] = {**MULTISCALE.quick, "seeds": 1, "rates": [0.01], "epochs": 1}
    run = run_study(MULTISCALE, StudyRun(study="multiscale", size="tiny", parameters=parameters), Setting())
    findings = {finding.name: finding for finding in judge(MULTISCALE.checks, run.records(MULTISCALE))}
    assert all(finding.holds is not None for finding in findings.values())
    assert findings["exact"].holds
    assert findings["accuracy"].holds
    (refined,) = run.records(MULTISCALE).where(part="refined")
    assert [scale["length"] for scale in refined["scales"]] == [16, 32, 64]
    assert [scale["bond"] for scale in refined["scales"]] == [10, 20, 20]

"""The trainers of other packages in two processes: what one process does at the same global batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = str(Path(__file__).with_name("two_workers.py"))


@pytest.mark.slow
@pytest.mark.parametrize("package", ["lightning", "transformers"])
def test_two_workers_train_as_one_does(package, tmp_path):
    pytest.importorskip(package, reason=f"{package} is not installed")
    launchers = ([], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])
    for launcher in launchers:
        subprocess.run(
            [sys.executable, *launcher, SCRIPT, package, str(tmp_path)],
            check=True,
            capture_output=True,
            timeout=300,
        )
    alone, first, second = (
        torch.load(tmp_path / f"{package}-{workers}-{rank}.pt", weights_only=True)
        for workers, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert first["ranks"] == second["ranks"] == alone["ranks"]
    assert alone["ranks"]["layers.0"] != (29, 32)  # nine tenths, at which it began
    assert all(torch.equal(first["state"][name], second["state"][name]) for name in first["state"])
    for name, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=0, atol=1e-10)

"""Ctrl-C on a real decomposition in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from rankfold._decomposition_file import load_decomposition

# Noise, of which no two starts find the same parts: this goes on until it is stopped.
WORDS = [
    "--rank",
    "12",
    "--method",
    "als",
    "--restarts",
    "1000000",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--out",
    "run",
]


def test_a_signal_keeps_the_best_so_far(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 10, 11)))
    code = "import sys; from rankfold.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, "decompose", "x.npy", *WORDS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".run.*.part")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: interrupted; the best so far (rank 12, relative error 0.")
    assert out.endswith(f"results: run\npage: {Path('run') / 'report.html'}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.npy"]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["interrupted"]
    assert len(summary["trace"]) > 1
    assert load_decomposition(tmp_path / "run" / "factors.safetensors").shape == (9, 10, 11)

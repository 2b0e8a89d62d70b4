"""What a person sees: the live display, on a terminal and only there."""

import contextlib
import os
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty")


def test_a_terminal_shows_progress_and_ends_with_the_report(small, tmp_path):
    controller, terminal = pty.openpty()
    code = "import sys; from rankfold.cli import main; sys.exit(main())"
    words = ["train", *small, "--epochs", "4", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "XDG_CACHE_HOME": str(tmp_path)},
    )
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # what Linux gives for a terminal whose other side is closed
        while part := os.read(controller, 65536):
            seen += part
    os.close(controller)
    assert process.wait() == 0
    text = seen.decode()
    assert "epoch 1/4" in text  # drawn at once, not at the first refresh
    assert "training accuracy" in text
    assert text.rindex("Factorised layers") > text.rindex("training accuracy")

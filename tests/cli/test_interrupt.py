"""Ctrl-C on a real process."""

import os
import signal
import subprocess
import sys
import time

import pytest

WORDS = ["--model", "mlp", "--rank", "6", "--epochs", "500", "--threads", "1", "--out", "run"]


@pytest.fixture
def process(tmp_path):
    command = [sys.executable, "-c", "import sys; from rankfold.cli import main; sys.exit(main())"]
    running = subprocess.Popen(
        [*command, "train", *WORDS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "model.safetensors").exists():
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield running
    running.kill()
    running.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_saves_and_says_how_to_go_on(process, number, code, tmp_path):
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("\n") == 1
    assert err.endswith("go on with: rankfold train --resume run\n")
    assert out == "run folder: run\n"
    assert not [file.name for file in (tmp_path / "run").iterdir() if file.name.endswith(".part")]


def test_a_second_signal_aborts_at_once():
    from rankfold.training import stop_on_signal

    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal(signal.SIGINT) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_abort_is_one_sentence(train, small, monkeypatch, capsys):
    from rankfold.cli import _train

    def abort(*positional, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "_train", abort)
    assert train(*small, folder="run") == 130
    assert capsys.readouterr().err == "rankfold: interrupted.\n"


def test_another_thread_than_the_main_one_leaves_signals_alone():
    import threading

    from rankfold.training import stop_on_signal

    before, seen = signal.getsignal(signal.SIGINT), []

    def enter():
        with stop_on_signal(signal.SIGINT) as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, before)]

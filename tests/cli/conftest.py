"""Helpers: small runs in process, interrupted where a test wants it."""

import itertools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankfold.cli import _measure, _train, main
from rankfold.convert import _timing

Train = Callable[..., int]


@pytest.fixture(autouse=True)
def _restore_torch():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What layers take is no matter in these tests."""
    monkeypatch.setattr(_timing, "_SECONDS_PER_ROUND", 1e-6)
    monkeypatch.setattr(_timing, "_ROUNDS", 1)
    monkeypatch.setattr(_timing, "_WARM_UP", 0)
    monkeypatch.setattr(_measure, "_REPEATS", 1)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """``train("--epochs", "1", folder="a", stop_after=17)`` runs in ``tmp_path``, with SIGINT after batch 17."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fit = _train.fit

    def run(*words: str, folder: str | None = None, stop_after: int | None = None) -> int:
        def interrupted_fit(*positional, after_batch, **named):
            count = itertools.count(1)

            def hook(progress, loss):
                if next(count) == stop_after:
                    signal.raise_signal(signal.SIGINT)
                after_batch(progress, loss)

            return fit(*positional, after_batch=hook, **named)

        monkeypatch.setattr(_train, "fit", interrupted_fit)
        out = () if folder is None else ("--out", folder)
        return main(["train", *out, *words])

    return run


@pytest.fixture
def small() -> list[str]:
    """A run of a second."""
    return ["--model", "mlp", "--rank", "6", "--epochs", "2", "--batch-size", "144", "--threads", "1"]

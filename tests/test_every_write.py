"""A full or failing disk at every call that reaches it: one sentence, the old file whole, nothing left behind."""

import errno
import io
import os
import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import nn

import rankfold as rf
from rankfold import CheckpointError, adapters
from rankfold.cli import main
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig
from rankfold.diagnostics import TrainingMonitor
from rankfold.report.page import Page, write_page

# Everything by which a file gets its content and its name.
CALLS = [
    (os, "fsync"),
    (os, "replace"),
    (os, "rename"),
    (os, "mkdir"),
    (os, "chmod"),
    (io, "open"),
    (tempfile, "mkstemp"),
    (tempfile, "mkdtemp"),
    (safetensors_torch, "save_file"),
]


class Faults:
    """Counts the calls below a folder, and lets one of them fail."""

    def __init__(self, monkeypatch, folder):
        self.folder, self.count, self.fails_at, self.failed = str(folder), 0, None, None
        for place, name in CALLS:
            monkeypatch.setattr(place, name, self._watched(name, getattr(place, name)))

    def _watched(self, name, call):
        def watched(*positional, **named):
            where = [
                str(part) for part in (*positional, *named.values()) if isinstance(part, str | os.PathLike)
            ]
            mode = positional[1] if len(positional) > 1 else named.get("mode", "r")
            reading = name == "open" and not set("wax+") & set(str(mode))
            if name != "fsync" and (reading or not any(part.startswith(self.folder) for part in where)):
                return call(*positional, **named)
            self.count += 1
            if self.count == self.fails_at:
                self.failed = name
                if name == "save_file":
                    raise SafetensorError(
                        "Error while serializing: I/O error: No space left on device (os error 28)"
                    )
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where[0] if where else None)
            return call(*positional, **named)

        return watched

    def begin(self, fails_at):
        self.count, self.fails_at, self.failed = 0, fails_at, None


def model_and_optimizer(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5))
    rf.factorize(model, 2)
    return model, rf.TDLRT(model, torch.optim.SGD, lr=0.1)


def saved(at, seed):
    model, optimizer = model_and_optimizer(seed)
    rf.save(model, at / "net.safetensors", optimizer=optimizer)


def checkpointed(at, seed):
    model, optimizer = model_and_optimizer(seed)
    rf.Checkpoints(at / "steps", keep=2).save(model, seed, optimizer=optimizer)


def decomposed(at, seed):
    rf.save_decomposition(rf.tucker(torch.randn(4, 3, 2), (2, 2, 2)).tensor, at / "parts.safetensors")


def adapted(at, seed):
    model = nn.Sequential(nn.Linear(6, 5))
    adapters.attach(model, 2)
    adapters.save_adapter(model, at / "adapter.safetensors")


def monitored(at, seed):
    monitor = TrainingMonitor(model_and_optimizer(seed)[0])
    monitor(0)
    monitor.write(at / "layers.jsonl")


def paged(at, seed):
    write_page(Page(title=f"page {seed}", subtitle=""), at / "page.html")


def run_folder(at, seed):
    folder = RunFolder(at)
    folder.write_config(TrainConfig(seed=seed))
    folder.write_lines(folder.metrics, [{"epoch": seed}])
    folder.write_checkpoint({"epoch": seed}, 2)


WRITERS = [saved, checkpointed, decomposed, adapted, monitored, paged, run_folder]


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fit_to_read(folder, files):
    """Whether every checkpoint and model of a folder is whole."""
    for name in files:
        if name.endswith(".safetensors"):
            from rankfold._checkpoint._file import read_file

            read_file(folder / name)


def attempt(write, at):
    """The sentence in which it ends, or None."""
    try:
        write(at, 2)
    except CheckpointError as error:
        return str(error)
    return None


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("again", [False, True], ids=["new", "over the old"])
def test_each_call_may_fail(write, again, tmp_path, monkeypatch):
    faults = Faults(monkeypatch, tmp_path)
    sites = set()
    for number in range(1, 100):
        at = tmp_path / f"at{number}"
        at.mkdir()
        faults.begin(None)
        if again:
            write(at, 1)
        before = files_of(at)
        faults.begin(number)
        sentence = attempt(write, at)
        failed = faults.failed
        faults.begin(None)
        if sentence is None and failed == "mkdir":  # pathlib then looks whether the folder is there
            continue
        if sentence is None:
            assert failed is None, f"{failed} failed and nobody was told"
            break
        sites.add(failed)
        assert "\n" not in sentence
        assert str(tmp_path) in sentence
        now = files_of(at)
        assert not [name for name in now if ".part" in name]
        assert set(before) <= set(now)
        fit_to_read(at, now)
        write(at, 3)  # and once there is room it goes on
    assert {"mkstemp", "fsync", "replace"} <= sites


@pytest.mark.parametrize("limit", [0, 100, 1000, 3000])
def test_the_kernel_refuses_the_bytes(limit, tmp_path, capsys):
    """No file may grow beyond so many bytes, whoever writes it, the writer of safetensors too."""
    for write in WRITERS:
        at = tmp_path / write.__name__
        at.mkdir()
        write(at, 1)
        before = files_of(at)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            sentence = attempt(write, at)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        now = files_of(at)
        assert not [name for name in now if ".part" in name]
        assert set(before) <= set(now)
        fit_to_read(at, now)
        assert sentence is None or str(at) in sentence
        assert sentence is not None or limit >= 100, write.__name__


def test_a_decomposition_on_a_failing_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(4, 3, 2)))
    words = ["decompose", str(tmp_path / "x.npy"), "--format", "tucker", "--ranks", "2,2,2", "--out"]
    faults = Faults(monkeypatch, tmp_path)
    for number in range(1, 100):
        faults.begin(number)
        code = main([*words, str(tmp_path / f"parts{number}")])
        failed = faults.failed
        faults.begin(None)
        said = capsys.readouterr()
        left = [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]
        assert left == []
        if failed is None:
            assert code == 0, said.err
            break
        if code == 0:  # the results are there, the page could not be written, and the command says so
            folder = tmp_path / f"parts{number}"
            assert failed == "mkdir" or "no page: " in said.out
            assert (folder / "summary.json").is_file()
            continue
        assert code == 2
        assert said.err.count("\n") == 1
    assert number > 6
    assert (Path(f"parts{number}") / "summary.json").is_file()

"""Everything of the library that writes, as functions of the folder to write to."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import rankfold
from rankfold import adapters
from rankfold.cli import main as command
from rankfold.diagnostics import TrainingMonitor
from rankfold.models import build_model
from rankfold.studies import STUDIES
from rankfold.studies._folder import StudyFolder

__all__ = ["Attempt", "Writer", "attempted", "content_of", "writers"]


@dataclass(frozen=True)
class Writer:
    """One that writes.

    Arguments:
        name: in the table.
        write: into a folder that exists; gives an exit code or raises.
        new: it refuses to write over what is there, so that a complete folder or none must come of it.
        resume: None, or what completes the work once there is room.
    """

    name: str
    write: Callable[[Path], object]
    new: bool = False
    resume: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Attempt:
    """What became of one.

    Arguments:
        code: 0, or 2 where it ended in one sentence.
        sentence: that sentence.
    """

    code: int
    sentence: str


def attempted(write: Callable[[Path], object], folder: Path) -> Attempt:
    """Write, and take the sentence of a failure; any other error is raised."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = write(folder)
    except rankfold.RankfoldError as error:
        return Attempt(2, str(error))
    except SystemExit:
        raise AssertionError(said.getvalue()) from None  # words that the command line does not know
    return Attempt(code if isinstance(code, int) else 0, said.getvalue().strip())


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def writers(source: Path) -> list[Writer]:
    """All of them.

    Arguments:
        source: a folder for what they read.
    """
    torch.manual_seed(0)
    network = build_model("mlp", input_shape=(1, 8, 8))
    rankfold.save(network, source / "net.safetensors")
    generator = np.random.default_rng(0)
    parts = [generator.normal(size=(size, 2)) for size in (12, 11, 10)]
    np.save(source / "x.npy", np.einsum("ir,jr,kr->ijk", *parts))
    model, optimizer = _trained()
    few = ["--model", "mlp", "--rank", "6", "--epochs", "2", "--batch-size", "144", "--threads", "1"]
    train = ["train", *few, "--out"]
    decomposition = rankfold.tucker(torch.from_numpy(np.load(source / "x.npy")), (2, 2, 2)).tensor
    attached = nn.Sequential(nn.Linear(64, 64))
    adapters.attach(attached, 4)
    monitor = TrainingMonitor(_trained()[0])
    monitor(0)
    study = STUDIES["overparam-als"]
    run = StudyFolder(Path(__file__).parents[2] / "docs" / "studies" / study.name).read(study)
    assert run is not None
    cube = str(source / "x.npy")
    words = [str(source / "net.safetensors"), "--model", "mlp", "--input-shape", "1x8x8"]
    run_folder = source / "run"
    attempted(lambda folder: command([*train, str(run_folder)]), source)

    def studied(folder: Path) -> None:
        StudyFolder(folder / "study").write_records(study, run)
        StudyFolder(folder / "study").write_pages(study, run)

    return [
        Writer("rf.save", lambda at: rankfold.save(model, at / "net.safetensors", optimizer=optimizer)),
        Writer(
            "Checkpoints.save",
            lambda at: rankfold.Checkpoints(at, keep=1).save(model, 1, optimizer=optimizer),
        ),
        Writer(
            "save_decomposition",
            lambda at: rankfold.save_decomposition(decomposition, at / "parts.safetensors"),
        ),
        Writer(
            "adapters.save_adapter", lambda at: adapters.save_adapter(attached, at / "adapter.safetensors")
        ),
        Writer("TrainingMonitor.write", lambda at: monitor.write(at / "layers.jsonl")),
        Writer(
            "export_program", lambda at: rankfold.export_program(model, torch.randn(4, 20), at / "net.pt2")
        ),
        Writer(
            "rankfold train",
            lambda at: command([*train, str(at / "run")]),
            new=True,
            resume=lambda at: command(["train", "--resume", str(at / "run")]),
        ),
        Writer(
            "rankfold report",
            lambda at: command(["report", str(run_folder), "--out", str(at / "page.html")]),
        ),
        Writer(
            "rankfold decompose",
            lambda at: command(["decompose", cube, "--rank", "2", "--out", str(at / "parts")]),
            new=True,
        ),
        Writer(
            "rankfold compress",
            lambda at: command(
                [
                    "compress",
                    *words,
                    "--policy",
                    "fixed=2",
                    "--overwrite",
                    "--output",
                    str(at / "small.safetensors"),
                ]
            ),
        ),
        Writer(
            "rankfold export",
            lambda at: command(["export", *words, "--output", str(at / "net.pt2")]),
        ),
        Writer("rankfold study", studied),
    ]


def _trained() -> tuple[nn.Module, rankfold.TDLRT]:
    model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 4))
    rankfold.factorize(model, 4)
    optimizer = rankfold.TDLRT(model, torch.optim.Adam, lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(8, 20)).square().mean().backward()
        optimizer.step()
    return model, optimizer

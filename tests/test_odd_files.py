"""What stands where a file should be, or changes while it is read."""

import io
import os
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
from benchmarks.fuzz import _guard
from benchmarks.fuzz._guard import outcome
from benchmarks.fuzz._reader import Reader
from benchmarks.fuzz._run import READERS
from scipy import io as matlab

from rankfold import DataError, RankfoldError
from rankfold.data import open_tensor
from rankfold.data._cifar import TEST_FILES, TRAIN_FILES
from rankfold.data._cifar10 import unpack


@pytest.mark.parametrize("odd", ["pipe", "folder", "loop", "nowhere", "hole"])
def test_what_stands_in_the_place_of_a_file(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the other end of a pipe, and a file of a terabyte that is all hole fills no memory."""
    monkeypatch.setattr(_guard, "_TIMERS", ((signal.ITIMER_REAL, signal.SIGALRM, 20.0),))
    for number, reader in enumerate(READERS[:-1]):  # the last one reads words of the command line
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in reader.beside().items():
            (folder / name).write_bytes(content)
        place(folder / reader.file, odd)
        assert outcome(reader, folder) in _outcomes(reader), (reader.name, odd)


def _outcomes(reader: Reader) -> set[str]:
    """Parts of a run that may be missing are missing; the speeds of the machine are the usual ones."""
    parts = ("run: ", "figure of a study", "speeds", "study to go on")
    refused = {"CheckpointError", "DataError"}
    return refused | {"accepted"} if reader.name.startswith(parts) else refused


def place(path: Path, odd: str) -> None:
    if odd == "pipe":
        os.mkfifo(path)
    elif odd == "folder":
        path.mkdir()
    elif odd == "loop":
        path.symlink_to(path.name)
    elif odd == "nowhere":
        path.symlink_to("nowhere")
    else:
        with path.open("wb") as file:
            file.write(b"\x00")
            file.truncate(1 << 40)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat"])
def test_a_file_that_is_cut_after_it_was_opened(kind: str, tmp_path: Path) -> None:
    path, x = tmp_path / f"x{kind}", np.random.default_rng(0).normal(size=(40, 50))
    if kind == ".mat":
        matlab.savemat(path, {"x": x})
    elif kind == ".npz":
        np.savez(path, x=x)
    else:
        np.save(path, x)
    source = open_tensor(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"has changed|is damaged"):
        source.read()


NAMES = [f"cifar-10-batches-bin/{name}" for name in (*TRAIN_FILES, *TEST_FILES)]


@pytest.mark.parametrize(
    "kind",
    [
        "symbolic",
        "hard",
        "to itself",
        "device",
        "pipe",
        "folder",
        "absolute",
        "up",
        "large",
        "sparse",
        "endless",
    ],
)
def test_members_that_an_archive_may_not_have(kind: str, tmp_path: Path) -> None:
    """What is outside stays as it was, and nothing that is no file of the right size gets a name."""
    (tmp_path / "secret").write_text("secret")
    archive, target = tmp_path / "a.tar.gz", tmp_path / "in" / "target"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in NAMES:
            member, content = tarfile.TarInfo(name), b"0123456789"
            if name == NAMES[1]:
                content = _odd_member(member, kind, tmp_path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(DataError, match="could not be unpacked"):
        unpack(archive, target)
    assert {path.name for path in target.iterdir()} <= {Path(name).name for name in NAMES if name != NAMES[1]}
    assert all(path.is_file() and not path.is_symlink() for path in target.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "in", "secret"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["target"]
    assert (tmp_path / "secret").read_text() == "secret"


def _odd_member(member: tarfile.TarInfo, kind: str, outside: Path) -> bytes:
    links = {"symbolic": str(outside / "secret"), "hard": "../../secret", "to itself": member.name}
    types = {
        "symbolic": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "to itself": tarfile.LNKTYPE,
        "device": tarfile.CHRTYPE,
        "pipe": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }
    member.type, member.linkname = types.get(kind, tarfile.REGTYPE), links.get(kind, "")
    if kind == "absolute":
        member.name = str(outside / "owned")
    elif kind == "up":
        member.name = "cifar-10-batches-bin/../../../owned"
    elif kind == "large":
        return bytes(30_730_001)
    elif kind == "sparse":
        member.pax_headers = {
            "GNU.sparse.map": "0,1",
            "GNU.sparse.size": "9" * 15,
            "GNU.sparse.numblocks": "1",
        }
    elif kind == "endless":
        member.pax_headers = {"size": "9" * 15}
    return b""


def test_sentences_of_errors_cannot_steer_a_terminal() -> None:
    error = RankfoldError("a\x1b[2J\nb\u202ec" + "x" * 10_000 + "; restore it.")
    assert str(error).startswith("a[U+001B][2J[U+000A]b[U+202E]cxxx")
    assert str(error).endswith("xxx; restore it.")
    assert len(str(error)) < 2100
    assert " ... " in str(error)
    assert str(RankfoldError("short.")) == "short."
    assert str(RankfoldError()) == ""

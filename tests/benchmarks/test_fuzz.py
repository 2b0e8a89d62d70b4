"""Every reader meets hostile input in the suite too, and the harness sees what it is there to see."""

import json
import signal
import time
import warnings
from pathlib import Path

import pytest
import torch
from benchmarks.fuzz import _guard
from benchmarks.fuzz._guard import Finding, outcome
from benchmarks.fuzz._mutate import bytes_mutator
from benchmarks.fuzz._reader import CORPUS, Reader
from benchmarks.fuzz._run import READERS, fuzz, share_of
from benchmarks.fuzz.page import PAGE, RESULT, page_with

from rankfold import DataError

# Of the hundred thousand of the command; those that once did harm and the crafted ones are read besides.
INPUTS = 1500


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_hostile_input_gives_a_value_or_a_sentence(reader: Reader) -> None:
    fixed = len(reader.seeds()) + len(reader.findings()) + len(reader.crafted())
    tally = fuzz(reader, fixed + share_of(reader, INPUTS), seed=1)
    assert [finding.what for _, finding in tally.findings] == []
    assert tally.outcomes.total() == fixed + share_of(reader, INPUTS)
    assert tally.outcomes["accepted"] > 0  # the seeds are read, so damage is done to what is reached
    assert len(tally.outcomes) > 1 or reader.name == "speeds of the machine"  # damaged speeds are no speeds


def test_the_corpus_is_small() -> None:
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < 1_000_000


def test_names_differ_and_every_reader_has_a_share() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS)
    assert all(share_of(reader, 100_000) > 300 for reader in READERS)


def test_the_table_of_the_page_is_that_of_the_committed_counts() -> None:
    result = json.loads(RESULT.read_text())
    text = PAGE.read_text(encoding="utf-8")
    assert text == page_with(text, result), "run python -m benchmarks.fuzz.page"
    assert [row["reader"] for row in result["readers"]] == [reader.name for reader in READERS]
    assert result["inputs"] == sum(row["inputs"] for row in result["readers"]) >= 100_000
    assert sum(row["findings"] for row in result["readers"]) == 0
    assert all(row["inputs"] >= 300 for row in result["readers"])


def raises(error: BaseException):
    def read(folder: Path) -> None:
        raise error

    return read


def chained(folder: Path) -> None:
    try:
        bytearray(1 << 60)
    except MemoryError:
        raise DataError("x: is damaged; restore it.") from None


def spins(folder: Path) -> None:
    while True:
        pass


def sleeps(folder: Path) -> None:
    time.sleep(30)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (raises(ValueError("\x1b[2J")), "ValueError"),
        (raises(SystemExit(3)), "SystemExit"),
        (raises(RecursionError("deep")), "RecursionError"),
        (raises(DataError("x: no full stop")), "no sentence"),
        (chained, "memory was short"),
        (lambda folder: warnings.warn("careful", stacklevel=1), "UserWarning"),
        (lambda folder: (folder / "owned").write_text("x"), "wrote a file"),
        (lambda folder: torch.ones(40_000_000).sum(), "took 1"),
        (spins, "took more than"),
        (sleeps, "took more than"),
    ],
    ids=["error", "exit", "recursion", "sentence", "memory", "warning", "file", "much", "busy", "waiting"],
)
def test_the_harness_sees_harm(read, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timers = ((signal.ITIMER_PROF, signal.SIGPROF, 0.3), (signal.ITIMER_REAL, signal.SIGALRM, 1.0))
    if read in (spins, sleeps):
        monkeypatch.setattr(_guard, "_TIMERS", timers)
    (tmp_path / "x").write_bytes(b"x")
    reader = Reader(name="x", file="x", read=read, mutate=bytes_mutator, share=1)
    if what == "took 1" and _guard._reset_peak() is None:
        pytest.skip("this system tells no peak of memory")
    with pytest.raises(Finding, match=what):
        outcome(reader, tmp_path)


def test_what_a_reader_may_do_is_counted(tmp_path: Path) -> None:
    def reader(read):
        return Reader(name="x", file="x", read=read, mutate=bytes_mutator, share=1)

    assert outcome(reader(lambda folder: 1), tmp_path) == "accepted"
    assert outcome(reader(raises(DataError("x\x1b: is damaged; restore it."))), tmp_path) == "DataError"

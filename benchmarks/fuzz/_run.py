"""Many inputs: the crafted ones, those that once did harm, and damage to the seeds."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz._guard import Finding, limited_memory, outcome
from benchmarks.fuzz._reader import Reader
from benchmarks.fuzz._readers_data import DATA_READERS
from benchmarks.fuzz._readers_models import MODEL_READERS
from benchmarks.fuzz._readers_records import RECORD_READERS
from rankfold import RankfoldError

__all__ = ["READERS", "Tally", "fuzz", "share_of"]

READERS: tuple[Reader, ...] = (*MODEL_READERS, *DATA_READERS, *RECORD_READERS)


@dataclass
class Tally:
    """What came of the inputs of one reader.

    Arguments:
        outcomes: how often which.
        findings: input and what it did.
        seconds: wall time.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[bytes, Finding]] = field(default_factory=list)
    seconds: float = 0.0


def share_of(reader: Reader, inputs: int) -> int:
    """How many of all inputs are a reader's; rounded up."""
    return -(-inputs * reader.share // sum(one.share for one in READERS))


def fuzz(reader: Reader, count: int, seed: int) -> Tally:
    """Read so many inputs, at least the fixed ones.

    Arguments:
        reader: what is tried.
        count: number of inputs.
        seed: of the damage.
    """
    tally = Tally()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place, limited_memory():
        folder = Path(place)
        for name, content in reader.beside().items():
            (folder / name).write_bytes(content)
        for content in reader.seeds():  # what is imported and built once counts for no input
            (folder / reader.file).write_bytes(content)
            with suppress(RankfoldError):
                reader.read(folder)
        for content in _inputs(reader, count, seed):
            (folder / reader.file).write_bytes(content)
            try:
                tally.outcomes[outcome(reader, folder)] += 1
            except Finding as finding:
                tally.outcomes["finding"] += 1
                tally.findings.append((content, finding))
    tally.seconds = time.perf_counter() - started
    return tally


def _inputs(reader: Reader, count: int, seed: int) -> Iterator[bytes]:
    seeds = reader.seeds()
    fixed = [*seeds, *reader.findings().values(), *reader.crafted().values()]
    yield from fixed
    chance = random.Random(f"{seed} {reader.name}")
    for _ in range(count - len(fixed)):
        yield reader.mutate(chance.choice(seeds), chance, seeds)

"""What is fuzzed: one record per reader."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz._mutate import Mutator

__all__ = ["CORPUS", "Reader"]

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One way by which bytes of others come in.

    Arguments:
        name: of its folders in the corpus.
        file: the name that the input gets, in a folder of its own.
        read: reads the folder; gives a value or raises an error of rankfold.
        mutate: makes inputs out of the seeds.
        share: its part of all inputs, beside those of the others.
        crafted: further inputs by name, which no damage to a seed would give.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    mutate: Mutator
    share: int
    crafted: Callable[[], dict[str, bytes]] = field(default=dict)

    def seeds(self) -> list[bytes]:
        """What is damaged, in the order of the names."""
        return [file.read_bytes() for file in sorted((CORPUS / "seeds" / self.name).iterdir())]

    def findings(self) -> dict[str, bytes]:
        """Inputs that once did harm, by name."""
        folder = CORPUS / "findings" / self.name
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}

    def beside(self) -> dict[str, bytes]:
        """Good files that lie beside the input."""
        folder = CORPUS / "beside" / self.name
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}

"""What is fuzzed: one record per reader."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz._mutate import Mutator

__all__ = ["CORPUS", "Reader", "folder_of"]

CORPUS = Path(__file__).parent / "corpus"


def folder_of(name: str) -> str:
    """The folder of a reader in the parts of the corpus, which every file system takes.

    Example:
        >>> folder_of("run: config.json"), folder_of(".npy")
        ('run-config.json', 'npy')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")


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
        return [file.read_bytes() for file in sorted((CORPUS / "seeds" / folder_of(self.name)).iterdir())]

    def findings(self) -> dict[str, bytes]:
        """Inputs that once did harm, by name."""
        folder = CORPUS / "findings" / folder_of(self.name)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}

    def beside(self) -> dict[str, bytes]:
        """Good files that lie beside the input."""
        folder = CORPUS / "beside" / folder_of(self.name)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}

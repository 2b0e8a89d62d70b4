"""What a page says about the times of one layer, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankfold.report._bench_layer import LayerBench, RankBench

__all__ = ["BenchRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRecord:
    """One measurement.

    Arguments:
        name: of its file.
        bench: what was measured.
        settings: by name, as they are stored.
        versions: of what made it, and the machine.
        command: the words that measure again; where the figures went is left out.
    """

    name: str
    bench: LayerBench
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str

    @property
    def training(self) -> bool:
        """Whether forward and backward were timed."""
        return bool(self.settings["training"])

    @property
    def best(self) -> RankBench:
        """The rank at which low rank is fastest against dense."""
        return max(self.bench.ranks, key=lambda row: row.speedup)

"""What a page says about a decomposition, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rankfold.report.page._training_record import ModeSpectrum

__all__ = ["DecompositionRecord", "ModeFactor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFactor:
    """The factor of one mode.

    Arguments:
        mode: of the tensor.
        columns: one per component, each as long as the mode.
    """

    mode: int
    columns: tuple[Sequence[float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecompositionRecord:
    """One decomposition.

    Arguments:
        name: of its folder.
        summary: as ``decomposition_summary`` gives it, with file, format, seconds, settings and versions.
        numbers: that the factors hold.
        factors: of the modes that have one.
        spectra: of the modes of a Tucker core.
        command: the words that make it again.
    """

    name: str
    summary: Mapping[str, Any]
    numbers: int
    factors: tuple[ModeFactor, ...]
    spectra: tuple[ModeSpectrum, ...]
    command: str

    @property
    def missing(self) -> int:
        """Entries of the tensor that were not observed; 0 where the summary, of an older version, does not say."""
        whole = prod(self.summary["shape"])
        return whole - self.summary.get("observed", whole)

    @property
    def masked(self) -> bool:
        """Whether there were gaps, as an older summary says, too."""
        return self.missing > 0 or self.summary["settings"].get("mask") is not None

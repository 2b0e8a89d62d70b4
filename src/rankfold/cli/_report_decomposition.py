"""The folder of a decomposition as the record that its page is made from."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rankfold._checkpoint._words import brief
from rankfold._decomposition_file import load_decomposition
from rankfold._errors import CheckpointError, RankfoldError
from rankfold._json_files import read_json
from rankfold.cli._decompose_config import DecomposeConfig
from rankfold.cli._words_of import words_of
from rankfold.formats import CP, Format, Tucker
from rankfold.linalg import left_singular, unfold
from rankfold.report.page import DecompositionRecord, ModeFactor, ModeSpectrum

__all__ = ["read_decomposition"]


def read_decomposition(path: Path, name: str) -> DecompositionRecord:
    """Read the results of a decomposition.

    Arguments:
        path: their folder.
        name: what it is called on the page.

    Raises:
        CheckpointError: a file is missing, damaged, or does not belong to the others.
    """
    file = path / "summary.json"
    try:
        summary = read_json(file)
        if not isinstance(summary, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file}: not readable as JSON ({brief(error)}); restore the file, or decompose again."
        ) from None
    tensor = load_decomposition(path / "factors.safetensors")
    try:
        if list(tensor.shape) != summary["shape"] or list(tensor.ranks) != summary["ranks"]:
            raise ValueError("factors.safetensors has another shape or other ranks")
        return DecompositionRecord(
            name=name,
            summary=_checked(summary),
            numbers=sum(part.numel() for part in tensor.tensors),
            factors=_factors(tensor),
            spectra=_spectra(tensor),
            command=_command(summary["settings"]),
        )
    except RankfoldError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{file}: the summary is damaged ({type(error).__name__}: {brief(error)}); restore the file, or "
            "decompose again."
        ) from None


def _checked(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary, in which everything that the page shows is of its type."""
    for name in ("file", "format", "method", "dtype"):
        if not isinstance(summary[name], str):
            raise TypeError(f"{name} is no text")
    if not _is_number(summary["seconds"]):
        raise TypeError("seconds are no number")
    for value in (summary["relative_error"], summary.get("core_consistency")):
        if value is not None and not _is_number(value):
            raise TypeError("relative_error or core_consistency is no number")
    if not isinstance(summary["trace"], list):
        raise TypeError("trace is no list")
    tables = {"trace": ("seconds", "relative_error", "rank")}
    tables |= {"rank_path": ("rank", "relative_error", "bic", "evidence")}
    for table, columns in tables.items():
        for row in summary.get(table, []):
            if not all(row[name] is None or _is_number(row[name]) for name in columns):
                raise TypeError(f"a line of {table} has no number")
            if type(row["rank"]) is not int:
                raise TypeError(f"a line of {table} has no rank")
    for name in ("weights", "shares"):
        if not all(value is None or _is_number(value) for value in summary.get(name, [])):
            raise TypeError(f"{name} are no numbers")
    if summary["format"] == "cp" and len(summary["weights"]) != len(summary["shares"]):
        raise ValueError("weights and shares of different number")
    if summary["format"] == "cp":
        texts = (summary["agreement"]["sentence"], summary["degeneracy"]["warning"] or "")
        if not all(isinstance(text, str) for text in texts) or type(summary["rank"]) is not int:
            raise TypeError("agreement, degeneracy or rank")
    observed, whole = summary.get("observed"), math.prod(summary["shape"])
    if "observed" in summary and (type(observed) is not int or not 0 <= observed <= whole):
        raise ValueError("observed is no number of entries")
    if not isinstance(summary["settings"], dict) or not isinstance(summary["versions"], dict):
        raise TypeError("settings or versions are no object")
    return summary


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _factors(tensor: Format) -> tuple[ModeFactor, ...]:
    if not isinstance(tensor, CP | Tucker):
        return ()
    return tuple(
        ModeFactor(mode=mode, columns=tuple(array("d", column.tolist()) for column in factor.double().mT))
        for mode, factor in enumerate(tensor.factors)
        if factor is not None
    )


def _spectra(tensor: Format) -> tuple[ModeSpectrum, ...]:
    """Singular values of the unfoldings of a Tucker core, whose factors are orthonormal unless they are nonnegative."""
    if not isinstance(tensor, Tucker) or not bool(tensor.core.isfinite().all()):
        return ()
    return tuple(
        ModeSpectrum(
            mode=mode,
            size=min(tensor.shape[mode], math.prod(tensor.shape) // max(tensor.shape[mode], 1)),
            values=tuple(left_singular(unfold(tensor.core, mode), "svd")[1].tolist()),
        )
        for mode, factor in enumerate(tensor.factors)
        if factor is not None and tensor.core.numel()
    )


def _command(settings: Mapping[str, Any]) -> str:
    """The words that make the settings again."""
    known = {field.name for field in fields(DecomposeConfig)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if name in known
    }
    return words_of("decompose", DecomposeConfig(**given), positional="file")

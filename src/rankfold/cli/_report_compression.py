"""The record of a compression as its page takes it."""

import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from rankfold._checkpoint._words import brief
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold.cli._compress_config import RECORD
from rankfold.cli._compress_files import read_compression
from rankfold.report import Costs
from rankfold.report.page import CompressedLayerRecord, CompressionRecord, ModeSpectrum, NetworkCosts

__all__ = ["read_compression_record"]

_LARGEST = 2**53  # whole numbers up to this are floats without loss
# What the page does with the settings, and of which type they are for it.
_SETTINGS: Mapping[str, type | tuple[type, ...]] = {
    "weights": str,
    "model": str,
    "policy": str,
    "calibrate": (str, type(None)),
    "finetune_epochs": int,
    "output": str,
    "export": (str, type(None)),
    "latency_batch": int,
}


def read_compression_record(file: Path, name: str) -> CompressionRecord:
    """Read the record that ``rankfold compress`` wrote, of this version or an older one.

    Arguments:
        file: the record.
        name: what it is called on the page, with or without the ending of records.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    content = read_compression(file)
    try:
        return _record(content, name.removesuffix(RECORD))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{file}: the record is damaged ({type(error).__name__}: {brief(error)}); restore the file, or compress "
            "again."
        ) from None


def _record(content: dict[str, Any], name: str) -> CompressionRecord:
    settings, place = content["settings"], content["place"]
    for key, kind in _SETTINGS.items():
        if not isinstance(settings[key], kind) or isinstance(settings[key], bool):
            raise TypeError(f"the setting {key} is {brief(settings[key], 60)}")
    command = _text(content["command"], "command")
    shlex.split(command)  # the page changes words of it
    export = content["export"]
    if export is not None:
        export = {"format": _text(export["format"], "export"), "size_bytes": _whole(export["size_bytes"])}
    return CompressionRecord(
        name=name,
        settings={str(key): value for key, value in settings.items()},
        command=command,
        versions={str(key): str(value) for key, value in content["versions"].items()},
        layers=tuple(map(_layer, _list(content["layers"]))),
        before=_network(content["before"]),
        after=_network(content["after"]),
        samples=_whole(content["samples"]),
        test_samples=_whole(content["test_samples"]),
        output_change=_error(content["output_change"]),
        place=_text(place, "place"),
        seconds={str(key): _seconds(value) for key, value in content["seconds"].items()},
        inputs=tuple(_text(word, "inputs") for word in _list(content.get("inputs", []))),
        export=export,
        export_failure=_optional(content.get("export_failure"), lambda value: _text(value, "export_failure")),
    )


def _network(side: dict[str, Any]) -> NetworkCosts:
    accuracy = side["accuracy"]
    if accuracy is not None and not 0 <= _seconds(accuracy) <= 1:
        raise ValueError(f"the accuracy is {brief(accuracy, 60)}")
    return NetworkCosts(
        parameters=_whole(side["parameters"]),
        flops=_whole(side["flops"]),
        seconds=_seconds(side["seconds"]),
        bytes=_whole(side["bytes"]),
        accuracy=accuracy,
    )


def _layer(row: dict[str, Any]) -> CompressedLayerRecord:
    shape, modes, ranks = (tuple(map(_whole, _list(row[key]))) for key in ("shape", "modes", "ranks"))
    if len(modes) != len(ranks) or any(mode >= len(shape) for mode in modes) or len(set(modes)) != len(modes):
        raise ValueError(f"modes {brief(modes, 60)} and ranks {brief(ranks, 60)} do not fit the shape")
    reason = _optional(row["reason"], lambda value: _text(value, "reason"))
    if (reason is None) != bool(modes):
        raise ValueError("a layer has neither ranks nor a reason, or both")
    places, spectra = _spectra(row.get("spectra"), len(shape))
    dense, now = (
        Costs(
            _whole(row[f"parameters_{when}"]),
            _optional(row.get(f"flops_{when}"), _whole),
            _optional(row.get(f"seconds_{when}"), _seconds),
        )
        for when in ("before", "after")
    )
    return CompressedLayerRecord(
        name=_text(row["name"], "name"),
        kind=_text(row["kind"], "kind"),
        shape=shape,
        modes=modes,
        ranks=ranks,
        dense=dense,
        now=now,
        error=_error(row["error"]) if reason is None else None,
        weighted_error=_error(row["weighted_error"]),
        reason=reason,
        places=places,
        spectra=spectra,
    )


def _spectra(found: Any, axes: int) -> tuple[tuple[int, ...], tuple[ModeSpectrum, ...]]:
    if found is None:
        return (), ()
    places = tuple(map(_whole, _list(found["places"])))
    if not places or places[0] < 1 or any(a >= b for a, b in pairwise(places)):
        raise ValueError("the places of a spectrum do not rise from 1")
    spectra = tuple(
        ModeSpectrum(
            mode=_whole(one["mode"]), size=_whole(one["size"]), values=tuple(map(_seconds, one["values"]))
        )
        for one in _list(found["modes"])
    )
    for one in spectra:
        if one.mode >= axes or len(one.values) != sum(place <= one.size for place in places):
            raise ValueError("a spectrum has another number of values than places")
    return places, spectra


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{brief(value, 60)} is no list")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(f"{brief(value, 60)} is no count")
    return value


def _seconds(value: Any) -> float:
    number = finite(value)
    if number is None or number < 0:
        raise ValueError(f"{brief(value, 60)} is no number of at least 0")
    return number


def _error(value: Any) -> float | None:
    """A relative change; NaN and infinity stay what they are, for the page says so."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{brief(value, 60)} is no error")
    return None if value is None else float(value)


def _optional(value: Any, read: Any) -> Any:
    return None if value is None else read(value)

"""The files of a compression: each complete under its name or not there at all."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import rankfold
from rankfold._checkpoint import atomic_path
from rankfold._checkpoint._words import brief
from rankfold._errors import CheckpointError, ExportError
from rankfold._json_files import read_json
from rankfold.cli._compress_config import CompressConfig, files_of
from rankfold.cli._words_of import words_of

__all__ = ["WrittenCompression", "read_compression", "write_compression"]

_KIND = "rankfold compression"


@dataclass(frozen=True, slots=True)
class WrittenCompression:
    """What was written.

    Arguments:
        record: complete, as plain values.
        failure: why the exported network was not, if so.
    """

    record: dict[str, Any]
    failure: ExportError | None


def write_compression(
    config: CompressConfig, network: nn.Module, inputs: tuple[Tensor, ...], record: Mapping[str, Any]
) -> WrittenCompression:
    """Write the factorised network, export the folded one if asked for, and write the record.

    Arguments:
        config: checked settings.
        network: with factorised layers.
        inputs: for the export.
        record: what is known of the compression.

    Returns:
        The completed record; a network that cannot be exported does not keep the rest from being written.

    Raises:
        CheckpointError: a file cannot be written; then none is.
    """
    places = files_of(config)
    with atomic_path(places["record"]) as place:
        with atomic_path(places["network"]) as temporary:
            rankfold.save(network, temporary)
            size = temporary.stat().st_size
            exported, failure = _export(config, network, inputs, places)
        complete = {
            "kind": _KIND,
            "command": words_of("compress", config, positional="weights"),
            "settings": _settings(config),
            "versions": {
                "rankfold": rankfold.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            **record,
            "before": {**record["before"], "bytes": config.weights.stat().st_size},
            "after": {**record["after"], "bytes": size},
            "export": exported,
            "export_failure": None if failure is None else str(failure),
        }
        place.write_text(json.dumps(complete, indent=1) + "\n", encoding="utf-8")
    return WrittenCompression(complete, failure)


def read_compression(file: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """
    try:
        record = read_json(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({brief(error)}); restore the file.") from None
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise CheckpointError(
            f"{file}: this is no record of a compression; pass one that rankfold compress wrote."
        )
    return record


def _export(
    config: CompressConfig, network: nn.Module, inputs: tuple[Tensor, ...], places: Mapping[str, Path]
) -> tuple[dict[str, Any] | None, ExportError | None]:
    if config.export is None:
        return None, None
    write = rankfold.export_onnx if config.export == "onnx" else rankfold.export_program
    try:
        exported = write(network, inputs, places["exported network"])
    except ExportError as error:
        sentence = str(error).rstrip(".")
        return None, ExportError(f"{sentence}; the factorised network is in {places['network']}.")
    return {**asdict(exported), "path": str(exported.path)}, None


def _settings(config: CompressConfig) -> dict[str, Any]:
    settings = {name: _plain(value) for name, value in asdict(config).items()}
    return settings | {"policy": config.policy[0]}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

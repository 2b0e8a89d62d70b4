"""The files of a decomposition."""

import csv
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankfold import __version__
from rankfold._decomposition_file import save_decomposition
from rankfold.cli._decompose_config import DecomposeConfig
from rankfold.decompose import Decomposition
from rankfold.formats import CP, Tucker
from rankfold.report import decomposition_summary, draw_decomposition

__all__ = ["write_results"]


def write_results(
    folder: Path,
    config: DecomposeConfig,
    result: Decomposition,
    *,
    observed: int | None,
    seconds: float,
    interrupted: bool,
) -> str | None:
    """Write factors.safetensors, a table per mode, figures and summary.json.

    Arguments:
        folder: exists and is empty.
        config: the settings.
        result: of any format.
        observed: entries that are known, None where all are.
        seconds: the decomposition took, reading and writing apart.
        interrupted: whether it was stopped before its end.

    Returns:
        A sentence if figures are missing, otherwise None.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    tensor = result.tensor
    save_decomposition(tensor, folder / "factors.safetensors")
    if isinstance(tensor, CP | Tucker):
        for mode, factor in enumerate(tensor.factors):
            if factor is not None:
                _write_table(folder / f"mode_{mode}.csv", factor)
    missing = draw_decomposition(result, folder)
    summary = {
        "file": str(config.file),
        "format": config.format,
        **decomposition_summary(result, observed),
        "interrupted": interrupted,
        "seconds": seconds,
        "settings": {name: _plain(value) for name, value in asdict(config).items()},
        "versions": {
            "rankfold": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    (folder / "summary.json").write_text(
        json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    return missing


def _write_table(file: Path, factor: Tensor) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow([f"component_{number}" for number in range(1, factor.shape[1] + 1)])
        writer.writerows(factor.tolist())


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

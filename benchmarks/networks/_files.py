"""Files of weights and samples below a folder that the user names."""

import os
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["data_root", "samples", "weights"]


def data_root(data_dir: Path | None) -> Path:
    """The named folder, or RANKFOLD_DATA."""
    return data_dir or Path(os.environ.get("RANKFOLD_DATA", "."))


def weights(data_dir: Path | None, name: str) -> dict[str, Tensor]:
    """Trained weights from ``weights/NAME.safetensors``."""
    return load_file(_existing(data_dir, f"{name}.safetensors"))


def samples(data_dir: Path | None, name: str) -> dict[str, np.ndarray]:
    """The arrays of ``weights/NAME.npz``."""
    with np.load(_existing(data_dir, f"{name}.npz"), allow_pickle=False) as file:
        return dict(file)


def _existing(data_dir: Path | None, name: str) -> Path:
    path = data_root(data_dir) / "weights" / name
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist; pass --data-dir or set RANKFOLD_DATA to the folder that has it."
        )
    return path

"""Real tensors for the CP benchmarks, from a folder that the user names."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["amino_acids", "taxi_counts", "weather"]

# Wind speeds above this are errors of the instrument: the highest ever measured at the ground, on Mount Washington in
# 1934, was 231 miles per hour. The file has one of 1048.
_FASTEST_WIND = 231.0


def amino_acids(data_dir: Path | None) -> tuple[Tensor, Tensor]:
    """Fluorescence ``(5, 201, 61)``, sample x emission x excitation, and concentrations ``(5, 3)``.

    Reference:
        Bro 1998, "Multi-way analysis in the food industry", chapter 7.
    """
    file = _load(data_dir, "amino_fluorescence")
    return torch.from_numpy(file["X"]).double(), torch.from_numpy(file["Y"]).double()


def taxi_counts(data_dir: Path | None, days: int) -> Tensor:
    """Square roots of the taxi trips ``(30, 30, 24 * days)``, pick-up x drop-off x hour.

    The square root makes the scatter of counts the same everywhere (Bartlett 1936).
    """
    counts = _load(data_dir, "nyc_taxi")["tensor"][:, :, : 24 * days]
    return torch.from_numpy(counts.astype(np.float64)).sqrt()


def weather(data_dir: Path | None) -> Tensor:
    """Weather ``(3, 364, 24, 9)``, airport x day x hour x variable, NaN where missing.

    Every variable has mean 0 and variance 1. The last day of the year, of which the file has nothing, is left out.
    """
    file = _load(data_dir, "nycweather13")
    x = torch.from_numpy(file["X"]).double()
    x = x[:, ~x.isnan().all(dim=3).all(dim=2).all(dim=0)]
    speed = x[..., list(file["variables"]).index("wind_speed")]
    speed[speed > _FASTEST_WIND] = torch.nan
    rows = x.flatten(0, 2)
    mean = rows.nanmean(dim=0)
    variance = (rows - mean).square().nanmean(dim=0)
    return ((rows - mean) / variance.sqrt()).view_as(x)


def _load(data_dir: Path | None, name: str) -> dict[str, np.ndarray]:
    """The arrays of ``tensors/NAME.npz`` below the named folder or RANKFOLD_DATA."""
    root = data_dir or Path(os.environ.get("RANKFOLD_DATA", "."))
    path = root / "tensors" / f"{name}.npz"
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist; pass --data-dir or set RANKFOLD_DATA to the folder that has it."
        )
    with np.load(path, allow_pickle=False) as file:
        return dict(file)

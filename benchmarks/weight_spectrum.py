"""Singular values of LeNet's widest layer after training on digits: dense, and in low rank from the first step."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks._results import write_result
from benchmarks.digits_lenet import trained
from rankfold.linalg import truncated_hosvd

LAYER = "linear1"
TOLERANCES = (0.05, 0.14, 0.3, 0.5)
DIGITS = 5


def spectrum(weight: torch.Tensor) -> dict[str, Any]:
    """Singular values relative to the norm of the weight, and the rank that each tolerance leaves."""
    values = torch.linalg.svdvals(weight.double())
    ranks = {
        str(tolerance): truncated_hosvd([weight], [(0, 1)], tolerance=tolerance)[0].core.shape[0]
        for tolerance in TOLERANCES
    }
    relative = [float(f"{value:.{DIGITS}g}") for value in (values / values.norm()).tolist()]
    return {"singular_values": relative, "ranks": ranks}


def main() -> None:
    """Train both networks with the defaults of ``rankfold train`` and write their spectra."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, words in {"dense": ("--dense",), "low rank": ()}.items():
            folder = Path(scratch) / name.replace(" ", "-")
            run = trained(folder, *words)
            tensors = load_file(folder / "model.safetensors")
            # With orthonormal bases the singular values of the weight are those of the core.
            weight = tensors[f"{LAYER}.weight"] if words else tensors[f"{LAYER}.core"]
            results[name] = {"accuracy": run["accuracy"], **spectrum(weight)}
            print(name, run["accuracy"], results[name]["ranks"])
    write_result("weight_spectrum", {"layer": LAYER, "full_rank": 500, "networks": results})


if __name__ == "__main__":
    main()

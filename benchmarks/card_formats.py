"""Numbers that Tucker and TT take for the same tensor at the same error, for the cards of docs/methods.

The first 1,000 digits of scikit-learn (8 x 8 pixels) are a tensor of order 3 with one long mode; the function
1 / (x_1 + ... + x_6) on 6 points in each variable is smooth and of order 6.
"""

from collections.abc import Callable
from typing import Any

import torch
import tyro
from sklearn.datasets import load_digits
from torch import Tensor

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare

NOTE = (
    "rankfold.tucker and rankfold.tt with a tolerance: parameters are the numbers stored, tensor those of the dense "
    "tensor. digits: 1,000 images of 8 x 8 pixels of scikit-learn, the images as first or as last mode; smooth: "
    "1 / (x_1 + ... + x_6) with 6 points from 0.1 to 1 in each variable."
)


def digits() -> Tensor:
    """The images, (1000, 8, 8)."""
    pixels, _ = load_digits(return_X_y=True)
    return torch.tensor(pixels / 16).view(-1, 8, 8)[:1000]


def smooth() -> Tensor:
    """The function on its grid, of order 6."""
    points = torch.linspace(0.1, 1, 6, dtype=torch.float64)
    return 1 / torch.cartesian_prod(*[points] * 6).sum(1).view([6] * 6)


CASES: dict[str, tuple[Callable[[], Tensor], float]] = {
    "digits, images first": (digits, 0.3),
    "digits, images last": (lambda: digits().permute(1, 2, 0), 0.3),
    "smooth": (smooth, 1e-3),
}


def row(case: str, name: str) -> dict[str, Any]:
    """One line: the size of a tensor in a format."""
    make, tolerance = CASES[case]
    x = make()
    found = {"tucker": rankfold.tucker, "tt": rankfold.tt}[name](x, tolerance=tolerance)
    line = {
        "case": case,
        "order": x.ndim,
        "tolerance": tolerance,
        "format": name,
        "ranks": "x".join(map(str, found.tensor.ranks)),
        "parameters": found.tensor.num_parameters,
        "tensor": x.numel(),
        "error": round(found.relative_error, 5),
    }
    print(line, flush=True)
    return line


def main() -> None:
    """Write every tensor in both formats."""
    facts = prepare(1)
    rows = [row(case, name) for case in CASES for name in ("tucker", "tt")]
    write_result("card_formats", {"note": NOTE, **facts, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)

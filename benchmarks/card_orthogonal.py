"""Time of a training pass of one layer by each way to an orthogonal matrix, for the cards of docs/methods."""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import tyro
from torch import Tensor, nn

from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks._timing import interleaved, median_ratio
from rankfold.convert import orthogonalize
from rankfold.linalg import ORTHOGONAL_MAPS

BATCH, ROUNDS, PLAIN = 64, 21, "plain"
WIDTHS = (64, 256)
NOTE = (
    "nn.Linear with as many outputs as inputs, batch 64, forward and backward, float32; plain is the layer as it is. "
    "ms is the median over the rounds, x_plain the median of the ratios. direct is the matrix itself: what keeps it "
    "orthogonal, such as OrthogonalDescent, is not in its time."
)


def side(width: int, name: str, inputs: Tensor) -> Callable[[], None]:
    """A pass of the layer, turned by a map unless it is the plain one."""
    layer = nn.Linear(width, width)
    model = nn.Sequential(layer)
    if name != PLAIN:
        orthogonalize(model, name)

    def run() -> None:
        model.zero_grad()
        model(inputs).square().sum().backward()

    return run


def rows(width: int) -> list[dict[str, Any]]:
    """One line per map, the plain layer first."""
    inputs = torch.randn(BATCH, width)
    sides = {name: side(width, name, inputs) for name in (PLAIN, *ORTHOGONAL_MAPS)}
    times = interleaved(sides, rounds=ROUNDS, calls=2)
    lines = [
        {
            "width": width,
            "map": name,
            "ms": round(1000 * median(times[name]), 3),
            "x_plain": round(median_ratio(times, name, PLAIN), 1),
        }
        for name in sides
    ]
    for line in lines:
        print(line, flush=True)
    return lines


def main() -> None:
    """Time every map at every width."""
    facts = prepare(1)
    found = [line for width in WIDTHS for line in rows(width)]
    write_result("card_orthogonal", {"note": NOTE, **facts, "rounds": ROUNDS, "rows": found})


if __name__ == "__main__":
    tyro.cli(main)

"""What a truncation does with a singular value that sits at its threshold: how often the rank changes.

A linear student learns a matrix of rank 4 from noisy gradients. The smallest singular value of the target is a
multiple of the threshold, the tolerance by the norm of the target, so that the rank is 4 above one and 3 below.
"""

from itertools import pairwise
from typing import Any

import torch
import tyro
from torch import Tensor, nn

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks.faults.soak import CASES
from rankfold.layers import Linear

NOTE = (
    "A linear layer of 20 inputs and outputs learns a matrix of singular values 1, 0.8, 0.6 and one more, half the "
    "squared distance as loss with normal noise of 0.02 in each entry of the gradient, SGD, tolerance 0.1. ratio is "
    "the last singular value by tolerance times norm. changes of 100 cycles is how many of a hundred cycles in the "
    "second half end with another rank than they began with, swings those that undo the change before, share the part "
    "of them that end at rank 4."
)
SIZE, TOLERANCE, NOISE, RATES = 20, 0.1, 0.02, (0.1, 0.6)
OTHERS = (1.0, 0.8, 0.6)


def target(ratio: float, generator: torch.Generator) -> Tensor:
    """A matrix whose last singular value is so many times the threshold."""
    rest = sum(value**2 for value in OTHERS)
    share = (ratio * TOLERANCE) ** 2
    last = (share * rest / (1 - share)) ** 0.5
    left, right = (torch.linalg.qr(torch.randn(SIZE, 4, generator=generator))[0] for _ in range(2))
    return left @ torch.diag(torch.tensor([*OTHERS, last])) @ right.mT


def row(
    integrator: str, core_steps: int, rate: float, ratio: float, cycles: int, seed: int
) -> dict[str, Any]:
    """One line: what the rank does."""
    generator = torch.Generator().manual_seed(seed)
    wanted = target(ratio, generator)
    layer = Linear(SIZE, SIZE, bias=False, rank=4, generator=generator)
    ranks: list[int] = []
    optimizer = rankfold.TDLRT(
        nn.Sequential(layer),
        torch.optim.SGD,
        lr=rate,
        integrator=integrator,
        core_steps=core_steps,
        tolerance=TOLERANCE,
        on_truncation=lambda record: ranks.append(record.ranks[0]),
    )
    while len(ranks) < cycles:
        optimizer.zero_grad()
        weight = layer.weight
        noise = NOISE * torch.randn(SIZE, SIZE, generator=generator)
        (0.5 * (weight - wanted).square().sum() + (noise * weight).sum()).backward()
        optimizer.step()
    late = ranks[cycles // 2 :]
    changes = [two - one for one, two in pairwise(late) if one != two]
    return {
        "integrator": integrator,
        "core_steps": core_steps,
        "rate": rate,
        "ratio": ratio,
        "changes_of_100_cycles": round(100 * len(changes) / len(late), 1),
        "swings": sum(one * two < 0 for one, two in pairwise(changes)),
        "share_of_rank_4": round(sum(rank == 4 for rank in late) / len(late), 2),
        "ranks": sorted(set(late)),
    }


def main(cycles: int = 200, seed: int = 0, output: str = "faults_threshold") -> None:
    """Every integrator at every distance from the threshold.

    Arguments:
        cycles: of each run.
        seed: of target and noise.
        output: name of the result.
    """
    facts = prepare(1)
    rows = []
    for integrator, core_steps in CASES:
        for rate in RATES:
            for ratio in (0.9, 1.0, 1.1, 1.3):
                rows.append(row(integrator, core_steps, rate, ratio, cycles, seed))
                print(rows[-1], flush=True)
    write_result(output, {"note": NOTE, **facts, "seed": seed, "cycles": cycles, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)

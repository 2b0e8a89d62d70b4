"""Every integrator from a rank that is too low and from one that is too high, for the cards of docs/methods.

A linear student of 24 inputs and outputs learns a teacher of rank 6 from its weight alone, ``½ ||W - T||²``, so that
ranks and losses have known answers.
"""

from typing import Any

import torch
import tyro
from torch import Tensor, nn

from benchmarks._results import write_result
from benchmarks._setup import prepare
from rankfold import TDLRT
from rankfold.layers import Linear
from rankfold.training import INTEGRATORS

SIZE, TEACHER, STEPS, CORE_STEPS, TOLERANCE = 24, 6, 330, 10, 0.05
NOTE = (
    "A linear layer of 24 inputs and outputs learns a random matrix of rank 6, half the squared distance as loss, "
    "plain SGD, 10 core steps, tolerance 0.05, 330 calls of step. distance is ||W - T|| by ||T|| at the end, the "
    "median of the seeds; ranks is the range over them."
)


def teacher(seed: int) -> Tensor:
    """A matrix of rank 6 whose singular values lie between 1 and 2."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(SIZE, TEACHER, generator=generator, dtype=torch.float64))[0]
        for _ in range(2)
    )
    return left @ torch.diag(torch.linspace(2, 1, TEACHER, dtype=torch.float64)) @ right.mT


def student(integrator: str, start: int, rate: float, seed: int) -> tuple[int, float]:
    """Rank and relative distance at the end."""
    target = teacher(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    layer = Linear(SIZE, SIZE, bias=False, rank=start, dtype=torch.float64, generator=generator)
    optimizer = TDLRT(
        nn.Sequential(layer),
        torch.optim.SGD,
        lr=rate,
        integrator=integrator,
        core_steps=CORE_STEPS,
        tolerance=TOLERANCE,
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (layer.weight - target).square().sum()).backward()
        optimizer.step()
    optimizer.truncate()
    return layer.ranks[0], float((layer.weight.detach() - target).norm() / target.norm())


def row(integrator: str, start: int, rate: float, seeds: range) -> dict[str, Any]:
    """One line: where an integrator ends from a start, at a learning rate."""
    found = [student(integrator, start, rate, seed) for seed in seeds]
    ranks = sorted({rank for rank, _ in found})
    line = {
        "integrator": integrator,
        "start_rank": start,
        "rate": rate,
        "ranks": str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}",
        "distance": sorted(distance for _, distance in found)[len(found) // 2],
    }
    print(line, flush=True)
    return line


def main(seeds: int = 5) -> None:
    """Run every integrator from every start.

    Arguments:
        seeds: teachers.
    """
    facts = prepare(1)
    rows = [
        row(integrator, start, rate, range(seeds))
        for integrator in INTEGRATORS
        for start in (2, SIZE)
        for rate in (0.1, 0.004)
    ]
    write_result("card_integrators", {"note": NOTE, **facts, "seeds": seeds, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)

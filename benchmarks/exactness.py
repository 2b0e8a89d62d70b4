"""How far TDLRT's step is from the published one, in float64: as it is, and with a closure.

The reference makes three passes a step: one with K in the output mode, one with K in the input mode, one for the core.
Ranks are held, so that the change of a kernel is its training and not what a tolerance cuts from random weights.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._published_step import PublishedTDLRT, published_model
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks._step_sides import NO_LIMIT, random_batches
from benchmarks._vgg import INPUT_SHAPE, factorized_vgg
from rankfold import TDLRT, Fraction

SHARE, BATCH, STEPS, RATE = 0.25, 16, 4, 0.3
TARGET = 1e-9


def closure_of(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> Callable[[], Tensor]:
    """Evaluate a model on one batch, forward and backward."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def reference(start: nn.Sequential, batches: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Kernels after all steps of the three-pass algorithm, and before."""
    model = published_model(deepcopy(start), modes=(0, 1))
    dense = torch.optim.SGD(model.parameters(), lr=RATE)
    optimizer = PublishedTDLRT(model, RATE, dense, keep_ranks=True)
    before = [layer.weight() for layer in optimizer.layers]
    for batch in batches:
        optimizer.step(closure_of(model, dense, batch))
    return [layer.weight() for layer in optimizer.layers], before


def library(start: nn.Sequential, batches: list[Any], *, closure: bool, **options: Any) -> list[Tensor]:
    """Kernels after as many cycles of TDLRT, each on one batch."""
    model, truncations = deepcopy(start), []
    optimizer = TDLRT(
        model,
        torch.optim.SGD,
        lr=RATE,
        core_steps=1,
        min_rank=NO_LIMIT,
        max_rank=Fraction(SHARE),
        on_truncation=truncations.append,
        **options,
    )
    for batch in batches:
        evaluate = closure_of(model, optimizer, batch)
        truncations.clear()
        while not truncations:
            if closure:
                optimizer.step(evaluate)
            else:
                evaluate()
                optimizer.step()
    return [layer.weight.detach() for layer in optimizer.layers.values()]


def worst_difference(found: list[Tensor], wanted: list[Tensor], before: list[Tensor]) -> float:
    """Largest difference over the layers, relative to how far the kernel has moved."""
    return max(float((a - b).norm() / (b - c).norm()) for a, b, c in zip(found, wanted, before, strict=True))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    facts = prepare(parser.parse_args().threads)
    start = factorized_vgg(SHARE).double()
    batches = [(x.double(), y) for x, y in random_batches(INPUT_SHAPE, BATCH, "cpu", STEPS)]
    wanted, before = reference(start, batches)
    rows = []
    for name, options in {
        "TDLRT": {"closure": False},
        "TDLRT with a closure": {"closure": True},
        "TDLRT single gradient": {"closure": False, "integrator": "parallel"},
    }.items():
        worst = worst_difference(library(start, batches, **options), wanted, before)
        rows.append({"side": name, "relative_difference": worst})
        print(f"{name:26} {worst:.1e}")
    write_result(
        "exactness",
        {
            "title": "TDLRT's step against the published algorithm",
            "note": f"VGG f=1/4 in float64, {STEPS} steps at learning rate {RATE}, batch {BATCH}: largest "
            "||W - W_published|| / ||change of W_published|| over the layers. The single-gradient step is another "
            "algorithm and stands here for the size of a real difference.",
            **facts,
            "definitions": {
                "B5": {
                    "measured": rows[0]["relative_difference"],
                    "target": f"<= {TARGET}",
                    "unit": "of the update",
                },
                "B5 with a closure": {
                    "measured": rows[1]["relative_difference"],
                    "target": f"<= {TARGET}",
                    "unit": "of the update",
                },
            },
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()

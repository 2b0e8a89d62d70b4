"""Graphs that torch.compile makes when ranks change, each layer compiled by itself.

After every layer has seen the ranks 16, 32 and 48 once, changing among them must not compile anything. Graphs are
counted by a backend that runs them as they are, so no C++ compiler is needed and its time does not enter.
"""

import argparse
import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks._results import write_result
from benchmarks._setup import prepare
from rankfold import Tucker
from rankfold.layers import Conv2d, FactorizedLayer, Linear

BUCKETS = (16, 32, 48)
CHANGES, CHANGES_PER_LAYER = 10, 6
_LIMIT = 64


class Counter:
    """A backend of torch.compile that counts the graphs it gets."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable:
        """Count a graph and run it as it is."""
        self.graphs += 1
        return graph.forward


class Network(nn.Module):
    """Two convolutions and two linear layers; what stands between them is not compiled."""

    def __init__(self, backend: Counter) -> None:
        super().__init__()
        self.layers: list[FactorizedLayer] = [
            Conv2d(64, 96, 3, padding=1, rank=16),
            Conv2d(96, 64, 3, padding=1, rank=16),
            Linear(1024, 256, rank=16),
            Linear(256, 64, rank=16),
        ]
        self.compiled = [torch.compile(layer, fullgraph=True, backend=backend) for layer in self.layers]

    def run(self) -> None:
        """Forward and backward on a new batch."""
        hidden = torch.randn(8, 64, 4, 4)
        for index, layer in enumerate(self.compiled):
            hidden = layer(hidden if index != 2 else hidden.flatten(1)).relu()
        hidden.square().mean().backward()
        for layer in self.layers:
            layer.zero_grad()


def change(layer: FactorizedLayer, rank: int) -> None:
    """Give a layer another rank in all its modes."""
    shape = list(layer.weight_shape)
    factors: list[Tensor | None] = [None] * len(shape)
    for mode in layer.modes:
        factors[mode] = torch.linalg.qr(torch.randn(shape[mode], rank)).Q
        shape[mode] = rank
    layer.assign(Tucker(torch.randn(shape), tuple(factors)))


def graphs_of(warm: tuple[int, ...], schedule: list[list[int]]) -> tuple[int, int]:
    """Graphs made while every layer sees the warm ranks, and those made by a schedule of ranks per layer after it."""
    torch.compiler.reset()
    # All layers of one class share torch's limit of 8 graphs for one function (torch._dynamo.config).
    torch._dynamo.config.recompile_limit = _LIMIT
    counter = Counter()
    network = Network(counter)
    for ranks in [*([rank] * 4 for rank in warm), *schedule]:
        if ranks is schedule[0]:
            warmed = counter.graphs
        for layer, rank in zip(network.layers, ranks, strict=True):
            if layer.ranks[0] != rank:
                change(layer, rank)
        network.run()
    return warmed, counter.graphs - warmed


def together(generator: random.Random, ranks: tuple[int, ...], count: int) -> list[list[int]]:
    """Schedule in which all layers change to the same other rank."""
    schedule, current = [], ranks[-1]
    for _ in range(count):
        current = generator.choice([rank for rank in ranks if rank != current])
        schedule.append([current] * 4)
    return schedule


def main() -> None:
    """Count, print and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    facts = prepare(1)
    generator = random.Random(0)
    apart = [[generator.choice(BUCKETS) for _ in range(4)] for _ in range(CHANGES_PER_LAYER)]
    odd = generator.sample([rank for rank in range(16, 49) if rank % 16], CHANGES)
    rows = []
    for name, schedule in {
        "all layers, multiples of 16": together(generator, BUCKETS, CHANGES),
        "each layer for itself, multiples of 16": apart,
        "all layers, any rank": [[rank] * 4 for rank in odd],
    }.items():
        warm, extra = graphs_of(BUCKETS, schedule)
        rows.append({"changes": name, "count": len(schedule), "warm_graphs": warm, "extra_graphs": extra})
        print(f"{name:40} {len(schedule):3} changes: {warm} graphs at first, {extra} more")
    write_result(
        "compile",
        {
            "title": "Graphs compiled when ranks change",
            "note": "Four layers, each under torch.compile(layer, fullgraph=True); graphs beyond those made while "
            "every layer saw the ranks 16, 32 and 48 once. 'Any rank' leaves the multiples of 16 and shows what they "
            "save.",
            **facts,
            "definitions": {
                "B12": {
                    "measured": rows[0]["extra_graphs"] + rows[1]["extra_graphs"],
                    "target": "<= 0",
                    "unit": "extra graphs",
                }
            },
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()

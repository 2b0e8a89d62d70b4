"""Linear layers over TT-matrices against F.linear and tensorly-torch's BlockTT, forward and backward.

What is asked is whether fewer multiplications are less time, at the ranks where there are fewer.
"""

from collections.abc import Callable
from functools import partial
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
import tyro

from benchmarks._comparison import compare, forward_backward
from benchmarks._peers import block_tt_linear
from benchmarks._results import write_result
from benchmarks._setup import prepare, result_name
from rankfold.formats import full_bonds, plan_contraction
from rankfold.layers import TTMatrixLinear

SIZES = ((1024, 1024), (1024, 4096), (4096, 4096))
BATCHES = (64, 512)
CORES = (2, 3)
RANKS = (4, 16, 64)
PEER_LIMIT = 1.5  # seconds per call above which the peer is left out, as in the design document
NOTE = (
    "No bias; forward, and backward to the input and all cores. rank is that of every bond; compression is dense "
    "parameters per parameter. chain contracts one core after another with the input in the order of least "
    "operations, multiplied multiplies the weight out and then takes dense products, rankfold is the layer as it is: "
    "neighbouring cores multiplied with each other first where that saves operations, or the whole weight where its "
    "estimate of the time says so. The operations columns are those of chain and of rankfold by those of dense, the "
    "columns with x their times by that of dense: both would be equal if operations were everything. peer is "
    "tensorly-torch BlockTT 'factorized' of the same sizes and ranks, empty where one call takes more than 1.5 s."
)


def row(inputs: int, outputs: int, batch: int, cores: int, rank: int, rounds: int) -> dict[str, Any] | None:
    """One line of the table; None where the sizes have no bonds of this rank."""
    ours = TTMatrixLinear(inputs, outputs, bias=False, rank=partial(_lowered, rank), cores=cores)
    if max(ours.ranks) < rank:
        return None
    x = torch.randn(batch, inputs).requires_grad_()
    weight = (torch.randn(outputs, inputs) / inputs**0.5).requires_grad_()
    sides: dict[str, Callable[[], object]] = {
        "dense": forward_backward(partial(F.linear, weight=weight), [weight], x),
        "rankfold": forward_backward(ours, list(ours.parameters()), x),
    }
    for name, execution in (("chain", "chain"), ("multiplied", "dense")):
        same = TTMatrixLinear(
            inputs, outputs, bias=False, rank=ours.ranks, out_sizes=ours.out_sizes, in_sizes=ours.in_sizes
        )
        same.execution = execution
        sides[name] = forward_backward(same, list(same.parameters()), x)
    peer = block_tt_linear(ours.in_sizes, ours.out_sizes, ours.ranks)
    run_peer = forward_backward(peer, list(peer.parameters()), x)
    run_peer()
    started = perf_counter()
    run_peer()
    if perf_counter() - started < PEER_LIMIT:
        sides["peer"] = run_peer
    result = compare(sides, rounds=rounds)
    sizes = ours.out_sizes, ours.in_sizes, ours.ranks
    dense = 2 * batch * inputs * outputs
    chain, taken = plan_contraction(*sizes, batch, execution="chain"), ours.plan(x)
    times = {side: round(1 / result.speedup(side, "dense"), 3) for side in sides if side != "dense"}
    line = {
        "inputs": inputs,
        "outputs": outputs,
        "batch": batch,
        "cores": cores,
        "rank": rank,
        "compression": round(inputs * outputs / ours.value.num_parameters, 1),
        "chain_operations": round(chain.flops / dense, 3),
        "rankfold_operations": round(taken.flops / dense, 3),
        "dense_ms": round(1e3 * result.seconds("dense"), 4),
        "rankfold_ms": round(1e3 * result.seconds("rankfold"), 4),
        "chain_x": times["chain"],
        "multiplied_x": times["multiplied"],
        "x_dense": times["rankfold"],
        "peer_x": times.get("peer"),
    }
    print(line, flush=True)
    return line


def _lowered(rank: int, out_sizes: tuple[int, ...], in_sizes: tuple[int, ...]) -> list[int]:
    return [min(rank, bond) for bond in full_bonds(out_sizes, in_sizes)]


def main(full: bool = False, threads: int = 1) -> None:
    """Time all points, print a line each, and write the result.

    Arguments:
        full: nine rounds instead of five, and 4096 x 4096 as well.
        threads: torch threads.
    """
    facts = prepare(threads)
    rounds = 9 if full else 5
    found = [
        row(inputs, outputs, batch, cores, rank, rounds)
        for inputs, outputs in (SIZES if full else SIZES[:2])
        for cores in CORES
        for rank in RANKS
        for batch in BATCHES
    ]
    rows = [line for line in found if line is not None]
    fewer = [line for line in rows if line["rankfold_operations"] < 1]
    more = [line for line in rows if line["rankfold_operations"] >= 1]
    means = {
        "x_dense, fewer operations": round(geometric_mean(line["x_dense"] for line in fewer), 3),
        "x_dense, no fewer": round(geometric_mean(line["x_dense"] for line in more), 3),
        "faster than dense": f"{sum(line['x_dense'] < 1 for line in rows)} of {len(rows)}",
    }
    print(means)
    result = {
        "title": "Linear layers over TT-matrices",
        "note": NOTE,
        **facts,
        "rounds": rounds,
        "definitions": {},
        "means": means,
        "rows": rows,
    }
    write_result(result_name("tt_linear", threads), result)


if __name__ == "__main__":
    tyro.cli(main)

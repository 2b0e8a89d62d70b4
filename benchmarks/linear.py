"""Factorised linear layers against F.linear, tensorly-torch and the plain product U Vᵀ, forward and backward."""

from collections.abc import Callable
from functools import partial
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from benchmarks._comparison import compare, forward_backward
from benchmarks._costs import largest_rank, lower_bound
from benchmarks._peers import tucker_linear
from benchmarks._results import write_result
from benchmarks._setup import prepare, result_name
from rankfold.layers import Linear

SIZES = ((784, 512), (1024, 4096), (4096, 4096))
BATCHES = (64, 512)
COMPRESSIONS = (2, 5, 10, 20)
PEER_LIMIT = 1.5  # seconds per call above which the peer is left out, as in the design document
NOTE = (
    "No bias; forward, and backward to the input and all factors. rankfold (U S Vᵀ) and chain (U Vᵀ, two calls of "
    "F.linear) have the largest ranks with at most 1/compression of the dense parameters, rank and chain_rank; peer "
    "(tensorly-torch Tucker 'factorized' over three modes a side) about as many at ranks of its own choice, empty "
    "where one call takes more than 1.5 s. dense_onednn is the three products of dense by PyTorch's oneDNN "
    "operator, which F.linear does not call: what of a gain is the kernel and not the low rank. flop_ratio is what "
    "the speed-up over dense would be if operations were everything; bound_ms is the larger of the operations at "
    "the rate of the fastest wide product in this run and two copies of the input."
)


def chain(inner: Tensor, outer: Tensor, x: Tensor) -> Tensor:
    """Two thin products."""
    return F.linear(F.linear(x, inner), outer)


def onednn_products(x: Tensor, weight: Tensor) -> dict[str, Callable[[], object]]:
    """The products of a dense forward and backward by the oneDNN operator, where PyTorch has it."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return {}

    def product(left: Tensor, right: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")

    x, weight = x.detach(), weight.detach()
    gradient = torch.randn(len(x), len(weight))
    pairs = ((x, weight), (gradient, weight.mT), (gradient.mT, x.mT))
    return {"dense_onednn": lambda: [product(left, right) for left, right in pairs]}


def leaf(*shape: int) -> Tensor:
    """Random weights whose products keep the scale of the input."""
    return (torch.randn(shape) / shape[-1] ** 0.5).requires_grad_()


def row(inputs: int, outputs: int, batch: int, compression: int, peak: float, rounds: int) -> dict[str, Any]:
    """One line of the table."""
    budget = inputs * outputs / compression
    rank = largest_rank(lambda r: r * (inputs + outputs) + r * r, budget)
    chain_rank = largest_rank(lambda r: r * (inputs + outputs), budget)
    x = torch.randn(batch, inputs).requires_grad_()
    weight = leaf(outputs, inputs)
    inner, outer = leaf(chain_rank, inputs), leaf(outputs, chain_rank)
    ours = Linear(inputs, outputs, bias=False, rank=rank)
    peer = tucker_linear(inputs, outputs, compression)
    copy = torch.empty_like(x)
    sides: dict[str, Callable[[], object]] = {
        "dense": forward_backward(partial(F.linear, weight=weight), [weight], x),
        "rankfold": forward_backward(ours, list(ours.parameters()), x),
        "chain": forward_backward(partial(chain, inner, outer), [inner, outer], x),
        **onednn_products(x, weight),
        "copy": lambda: copy.copy_(x.detach()),
    }
    run_peer = forward_backward(peer, list(peer.parameters()), x)
    run_peer()
    started = perf_counter()
    run_peer()
    if perf_counter() - started < PEER_LIMIT:
        sides["peer"] = run_peer
    result = compare(sides, rounds=rounds)

    def milliseconds(side: str) -> float | None:
        return round(1e3 * result.seconds(side), 4) if side in sides else None

    def speedup(over: str) -> float | None:
        return round(result.speedup("rankfold", over), 3) if over in sides else None

    low = rank * (inputs + outputs) + rank**2
    flop_ratio = inputs * outputs / low
    bound = lower_bound(6 * batch * low, peak, 2, result.seconds("copy"))
    line = {
        "inputs": inputs,
        "outputs": outputs,
        "batch": batch,
        "compression": compression,
        "rank": rank,
        "chain_rank": chain_rank,
        **{
            f"{side}_ms": milliseconds(side)
            for side in ("dense", "dense_onednn", "rankfold", "chain", "peer")
        },
        "bound_ms": round(1e3 * bound, 4),
        "flop_ratio": round(flop_ratio, 2),
        "speedup_over_dense": speedup("dense"),
        "share_of_flop_ratio": round(result.speedup("rankfold", "dense") / flop_ratio, 3),
        "speedup_over_dense_onednn": speedup("dense_onednn"),
        "speedup_over_chain": speedup("chain"),
        "speedup_over_peer": speedup("peer"),
    }
    print(
        {key: line[key] for key in list(line)[:5]}, {k: v for k, v in line.items() if k.startswith("speedup")}
    )
    return line


def peak_flops() -> float:
    """Operations per second of a wide dense layer with the faster of its kernels, in the fastest round."""
    size, batch = 1024, 512
    x, weight = torch.randn(batch, size).requires_grad_(), leaf(size, size)
    sides = {
        "dense": forward_backward(partial(F.linear, weight=weight), [weight], x),
        **onednn_products(x, weight),
    }
    times = compare(sides, rounds=5).times
    return 6 * batch * size**2 / min(min(rounds) for rounds in times.values())


def main(full: bool = False, threads: int = 1) -> None:
    """Time all points, print a line each, and write the result.

    Arguments:
        full: nine rounds instead of five, and 4096 x 4096 as well.
        threads: torch threads.
    """
    facts = prepare(threads)
    rounds = 9 if full else 5
    peak = peak_flops()
    rows = [
        row(inputs, outputs, batch, compression, peak, rounds)
        for inputs, outputs in (SIZES if full else SIZES[:2])
        for batch in BATCHES
        for compression in COMPRESSIONS
    ]
    columns = [column for column in rows[0] if column.startswith("speedup")]
    means = {c: round(geometric_mean(r[c] for r in rows if r[c] is not None), 3) for c in columns}
    result = {
        "title": "Linear layers",
        "note": NOTE,
        **facts,
        "rounds": rounds,
        "peak_gflops": round(peak / 1e9, 1),
        "definitions": {},
        "means": means,
        "rows": rows,
    }
    print(means)
    write_result(result_name("linear", threads), result)


if __name__ == "__main__":
    tyro.cli(main)

"""Factorised 3x3 convolutions against dense ones, tensorly-torch and a plain chain at the same ranks (B1, B2, B3)."""

from statistics import geometric_mean
from typing import Any

import tyro

from benchmarks._conv_sides import peak_flops, time_conv
from benchmarks._costs import (
    conv_flops,
    largest_rank,
    lower_bound,
    tucker_conv_flops,
    tucker_conv_parameters,
)
from benchmarks._results import write_result
from benchmarks._setup import prepare, result_name

SHAPES = ((64, 32), (128, 16), (256, 8), (512, 4))
COMPRESSIONS = (2, 5, 10, 20)
NOTE = (
    "3x3, stride 1, padding 1, no bias, as many outputs as inputs; the largest rank r with at most 1/compression of "
    "the dense parameters. dense, rankfold and chain (three calls of F.conv2d with the same values) run in "
    "channels_last, peer (tensorly-torch Tucker 'factorized') in NCHW, its faster layout, like the sides named nchw; "
    "folded is rankfold.fold of our layer with an example input. B1 and B3: forward and backward, gradients of the "
    "input and all factors, Tucker in the channel modes. B2: forward, no_grad, eval, Tucker in all four modes with "
    "ranks (r, r, 3, 3). flop_ratio is what the speed-up over dense would be if operations were everything; bound_ms "
    "is the larger of the operations at the peak and one copy (with backward two) from input to output, both measured "
    "in this run."
)


def row(name: str, shape: tuple[int, int], batch: int, rank: int, peak: float, rounds: int) -> dict[str, Any]:
    """One line of the table: times, bound and speed-ups at one shape, batch and rank."""
    channels, size = shape
    train = name != "B2"
    result = time_conv(channels, size, batch, rank, train=train, rounds=rounds)
    pixels = batch * size**2
    dense, low = conv_flops(channels, pixels), tucker_conv_flops(channels, rank, pixels)
    bound = lower_bound(3 * low if train else low, peak, 2 if train else 1, result.seconds("copy"))
    flop_ratio, speedup = dense / low, result.speedup("rankfold", "dense")
    line = {
        "benchmark": name,
        "channels": channels,
        "size": size,
        "batch": batch,
        "compression": round(channels**2 * 9 / tucker_conv_parameters(channels, rank), 2),
        "rank": rank,
        **result.milliseconds("dense", "dense_nchw", "rankfold", "rankfold_nchw", "peer", "chain"),
        **({} if train else result.milliseconds("folded")),
        "bound_ms": round(1e3 * bound, 4),
        "flop_ratio": round(flop_ratio, 2),
        "speedup_over_dense": round(speedup, 3),
        "share_of_flop_ratio": round(speedup / flop_ratio, 3),
        "speedup_over_peer": round(result.speedup("rankfold", "peer"), 3),
        "speedup_over_chain": round(result.speedup("rankfold", "chain"), 3),
        "speedup_nchw_over_peer": round(result.speedup("rankfold_nchw", "peer"), 3),
    }
    print({key: line[key] for key in ("benchmark", "channels", "rank", "batch")}, end=" ")
    print(f"dense {line['speedup_over_dense']} peer {line['speedup_over_peer']}", flush=True)
    return line


def mean_of(rows: list[dict[str, Any]], name: str, column: str) -> float:
    """Geometric mean of a column over the rows of one benchmark."""
    return round(geometric_mean(line[column] for line in rows if line["benchmark"] == name), 3)


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """B1 to B3 as the design document defines them."""
    points = len(SHAPES) * len(COMPRESSIONS)
    unit = f"times as fast as tensorly-torch, geometric mean of {points} points"
    shares = {line["channels"]: line["share_of_flop_ratio"] for line in rows if line["benchmark"] == "B3"}
    return {
        "B1": {
            "measured": mean_of(rows, "B1", "speedup_over_peer"),
            "target": "≥ 1.45",
            "unit": unit,
        },
        "B2": {
            "measured": mean_of(rows, "B2", "speedup_nchw_over_peer"),
            "target": "≥ 2.2",
            "unit": unit,
        },
        "B3 (256 channels)": {"measured": shares[256], "target": "≥ 0.72", "unit": "of the FLOP ratio"},
        "B3 (512 channels)": {"measured": shares[512], "target": "≥ 0.92", "unit": "of the FLOP ratio"},
    }


def main(full: bool = False, threads: int = 1) -> None:
    """Time all points, print a line each, and write the result.

    Arguments:
        full: nine rounds instead of five, and training at batch 128 as well.
        threads: torch threads.
    """
    facts = prepare(threads)
    rounds = 9 if full else 5
    peak = peak_flops()
    cases = [("B2", 1), ("B1", 64), *([("B1 at batch 128", 128)] if full else [])]
    rows = []
    for name, batch in cases:
        for channels, size in SHAPES:
            for compression in COMPRESSIONS:
                budget = 9 * channels**2 / compression
                rank = largest_rank(lambda r, c=channels: tucker_conv_parameters(c, r), budget)
                # Inference takes little time in all, and its short calls scatter more.
                few = max(rounds, 9) if name == "B2" else rounds
                rows.append(row(name, (channels, size), batch, rank, peak, few))
    rows += [row("B3", (256, 8), 64, 64, peak, rounds), row("B3", (512, 4), 64, 128, peak, rounds)]
    result = {
        "title": "Convolutions",
        "note": NOTE,
        **facts,
        "rounds": rounds,
        "peak_gflops": round(peak / 1e9, 1),
        "definitions": definitions(rows),
        "means": {
            f"{name} {column}": mean_of(rows, name, column)
            for name, _ in cases
            for column in rows[0]
            if column.startswith("speedup")
        },
        "rows": rows,
    }
    print(result["definitions"])
    write_result(result_name("conv", threads), result)


if __name__ == "__main__":
    tyro.cli(main)

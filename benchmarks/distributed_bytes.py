"""Bytes that two workers send in one training step, low-rank against dense, on the counters of their own network.

The workers run in a network namespace of their own (``unshare``), so that its loopback interface carries their traffic
and nothing else, headers of TCP and acknowledgements among it. The formula is what a ring needs to average so many
numbers of 4 bytes on N workers: 2 (N - 1) of each in all. For TDLRT it takes every basis to double, the most there is;
a gradient of few samples has fewer directions.
"""

import argparse
from fractions import Fraction as Ratio

import torch.distributed as dist

from benchmarks._distributed_sides import NETWORKS, WAYS, DistributedSide, numbers_sent
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks._worker_group import inside_own_network, on_workers, wire_bytes

_WORKERS, _CYCLES = 2, 2
# Images of each worker; gradients then have directions enough to double most bases.
_BATCH = {"LeNet": 64, "VGG": 16}
_SHARES = (Ratio(1, 8), Ratio(1, 4), Ratio(1, 2))


def measure(rank: int) -> list[dict[str, object]]:
    """Rows of the table, counted by each worker alike."""
    rows = []
    for network in NETWORKS:
        dense = 0.0
        for share in (None, *_SHARES):
            for way in ["dense, DistributedDataParallel"] if share is None else WAYS:
                side = DistributedSide(network, None if share is None else float(share), way, _BATCH[network])
                ranks, numbers = side.ranks(), numbers_sent(side)
                for _ in range(max(side.steps_per_cycle, 3)):  # connections are made, buckets built
                    side.step()
                while side.ranks() != ranks:
                    side.step()
                dist.barrier()
                before = wire_bytes()
                for _ in range(_CYCLES * side.steps_per_cycle):
                    side.step()
                dist.barrier()
                measured = (wire_bytes() - before) / (_CYCLES * side.steps_per_cycle)
                assert side.ranks() == ranks, "ranks are held"
                dense = dense or measured
                rows.append(
                    {
                        "network": network,
                        "ranks": "full" if share is None else f"{share} of the full ones",
                        "side": way,
                        "wire_bytes": round(measured),
                        "formula_bytes": round(4 * numbers * 2 * (_WORKERS - 1)),
                        "x_dense": round(measured / dense, 4),
                    }
                )
    return rows


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if inside_own_network():
        facts = prepare(1)
        rows = on_workers(_WORKERS, measure)
        for row in rows:
            print(*row.values(), sep="  ")
        write_result(
            "distributed_bytes",
            {
                "title": "Bytes of a training step of two workers",
                "note": "All bytes on the wire for one step, of both workers together, in the mean over whole cycles.",
                "images_per_worker": _BATCH,
                **facts,
                "workers": _WORKERS,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()

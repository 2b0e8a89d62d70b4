"""One layer, dense and at several ranks: times as a table and in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from rankfold.report._tables import empty_table

__all__ = ["GAIN", "LayerBench", "RankBench", "bench_layer_table", "break_even_rank", "verdict"]

#: Choice of this library, as in `rankfold.fold`: a gain under 2 % is none.
GAIN = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RankBench:
    """A layer at one rank.

    Arguments:
        rank: of both channel modes, lowered in a mode that allows less.
        factorized: seconds of the factorised layer.
        folded: seconds of the fastest chain of plain layers.
        flop_ratio: work of the dense layer over that of the factorised one.
        speedup: dense time over the time of the faster of the two forms, in training over that of the layer.
    """

    rank: int
    factorized: float
    folded: float
    flop_ratio: float
    speedup: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBench:
    """What a measurement found.

    Arguments:
        title: the layer, its input and the circumstances, in words.
        dense: seconds of the dense layer.
        ranks: one row per rank, from low to high.
    """

    title: str
    dense: float
    ranks: tuple[RankBench, ...]


def bench_layer_table(bench: LayerBench) -> Table:
    """Milliseconds, work and speed-up at each rank; the dense layer is the first row."""
    table = empty_table("Times")
    for name in ("rank", "layer ms", "folded ms", "FLOP ratio", "speed-up"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("dense", _milliseconds(bench.dense), "", "", "")
    for row in bench.ranks:
        table.add_row(
            str(row.rank),
            _milliseconds(row.factorized),
            _milliseconds(row.folded),
            f"{row.flop_ratio:.2f}x",
            f"{row.speedup:.2f}x",
        )
    return table


def break_even_rank(ranks: Sequence[RankBench]) -> int | None:
    """The rank from which on low rank is not faster, interpolated between two that were tried.

    Arguments:
        ranks: from low to high.

    Returns:
        The rank; None if low rank is faster at all ranks, at none, or at a rank above one where it is not.

    Example:
        >>> times = {"factorized": 1.0, "folded": 1.0, "flop_ratio": 1.0}
        >>> break_even_rank([RankBench(rank=16, speedup=1.5, **times), RankBench(rank=32, speedup=0.5, **times)])
        24
    """
    faster = [row.speedup > GAIN for row in ranks]
    count = sum(faster)
    if count in (0, len(ranks)) or not all(faster[:count]):
        return None
    below, above = ranks[count - 1], ranks[count]
    share = (below.speedup - GAIN) / (below.speedup - above.speedup)
    return round(below.rank + share * (above.rank - below.rank))


def verdict(bench: LayerBench) -> str:
    """Where low rank is faster, in one sentence."""
    faster = [row.rank for row in bench.ranks if row.speedup > GAIN]
    rank = break_even_rank(bench.ranks)
    if rank is not None:
        return f"Below rank {rank} low rank is faster here."
    if not faster:
        return "Low rank is faster here at none of the ranks tried: leave this layer dense."
    if len(faster) == len(bench.ranks):
        return f"Low rank is faster here at every rank tried, up to {faster[-1]}."
    return f"Of the ranks tried, low rank is faster here at {', '.join(map(str, faster))} only."


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f}" if seconds < 0.1 else f"{1000 * seconds:.1f}"

"""Times of layers, dense and at several ranks, as charts and tables."""

from collections.abc import Sequence

from rankfold.report._bench_layer import RankBench, break_even_rank
from rankfold.report._quantities import milliseconds
from rankfold.report.page._bench_record import BenchRecord
from rankfold.report.page._blocks import Cell, Line, LineChart, Mark, Quantity, Table

__all__ = ["benches_table", "speedup_chart", "speedups_table", "time_chart", "times_table"]


def time_chart(record: BenchRecord, name: str) -> LineChart:
    """Milliseconds of both low-rank forms over the rank, with the dense layer as a level line."""
    rows = record.bench.ranks
    return _chart(
        record,
        title=f"Time at each rank{name}",
        description="The layer as it is trained, the fastest plain layers it folds to, and the dense layer.",
        y_label="milliseconds",
        lines=(
            Line("layer", tuple(1000 * row.factorized for row in rows)),
            Line("folded", tuple(1000 * row.folded for row in rows)),
            Line("dense", (1000 * record.bench.dense,) * len(rows)),
        ),
    )


def speedup_chart(record: BenchRecord, name: str) -> LineChart:
    """Speed-up over the rank; low rank is faster above the dense line."""
    rows = record.bench.ranks
    return _chart(
        record,
        title=f"Speed-up at each rank{name}",
        description="Above the line of the dense layer low rank is faster.",
        y_label="dense time over the time at this rank",
        lines=(Line("low rank", tuple(row.speedup for row in rows)), Line("dense", (1.0,) * len(rows))),
    )


def _chart(
    record: BenchRecord, *, title: str, description: str, y_label: str, lines: tuple[Line, ...]
) -> LineChart:
    rank = break_even_rank(record.bench.ranks)
    return LineChart(
        title=title,
        description=description,
        x_label="rank",
        y_label=y_label,
        x=tuple(float(row.rank) for row in record.bench.ranks),
        lines=lines,
        marks=() if rank is None else (Mark(float(rank), f"break-even at rank {rank}"),),
    )


def times_table(record: BenchRecord, name: str) -> Table:
    """Milliseconds, work and speed-up at each rank, after those of the dense layer."""
    dense = record.bench.dense
    first = (Quantity(None, "dense"), _time(dense), None, None, Quantity(1.0, "1.00x"))
    return Table(
        caption=f"Times{name}",
        columns=("rank", "layer ms", "folded ms", "FLOP ratio", "speed-up"),
        rows=(first, *(_row(row) for row in record.bench.ranks)),
        note="FLOP ratio: work of the dense layer over that of the factorised one.",
    )


def _row(row: RankBench) -> tuple[Cell, ...]:
    return row.rank, _time(row.factorized), _time(row.folded), _times(row.flop_ratio), _times(row.speedup)


def benches_table(records: Sequence[BenchRecord]) -> Table:
    """One line per measurement."""
    rows = [
        (
            record.name,
            _time(record.bench.dense),
            break_even_rank(record.bench.ranks),
            _times(record.best.speedup),
            record.best.rank,
            record.bench.title,
        )
        for record in records
    ]
    columns = ("file", "dense ms", "break-even rank", "best speed-up", "at rank", "layer")
    return Table(caption="Measurements side by side", columns=columns, rows=tuple(rows))


def speedups_table(records: Sequence[BenchRecord]) -> Table:
    """Speed-up at each rank in each measurement."""
    own = [{row.rank: row.speedup for row in record.bench.ranks} for record in records]
    rows = [
        (rank, *(_times(one[rank]) if rank in one else None for one in own))
        for rank in sorted({rank for one in own for rank in one})
    ]
    names = tuple(record.name for record in records)
    return Table(caption="Speed-up at each rank", columns=("rank", *names), rows=tuple(rows))


def _time(seconds: float) -> Quantity:
    return Quantity(seconds, milliseconds(seconds))


def _times(ratio: float) -> Quantity:
    return Quantity(ratio, f"{ratio:.2f}x")

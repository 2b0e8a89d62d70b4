"""The figures of a timed layer as the record that their page is made from."""

import shlex
from pathlib import Path
from typing import Any

from rankfold._checkpoint._words import brief
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold._json_files import read_json, read_text
from rankfold.report import LayerBench, RankBench, break_even_rank, verdict
from rankfold.report.page import BenchRecord

__all__ = ["BENCH_FORMAT", "holds_bench", "read_bench"]

#: What such a file begins with.
BENCH_FORMAT = "rankfold-bench-layer-1"
_TIMES = ("factorized", "folded", "flop_ratio", "speedup")


def holds_bench(path: Path) -> bool:
    """Whether ``rankfold bench-layer`` wrote a file, of this version or of an older one, damaged or not."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        text = read_text(path, errors="replace")
    except (OSError, ValueError):
        return False
    return BENCH_FORMAT in text or '"break_even_rank"' in text


def read_bench(path: Path, name: str) -> BenchRecord:
    """Read the figures that ``rankfold bench-layer --json`` wrote.

    Arguments:
        path: their file.
        name: what it is called on the page.

    Raises:
        CheckpointError: the file is damaged, or of another version.
    """
    try:
        return _record(read_json(path), name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: not readable as figures of rankfold bench-layer ({type(error).__name__}: {brief(error)}); "
            "restore it, or time the layer again."
        ) from None


def _record(stored: dict[str, Any], name: str) -> BenchRecord:
    if stored["format"] != BENCH_FORMAT:
        raise ValueError(f"format {stored['format']!r}")
    bench = LayerBench(
        title=_text(stored["title"]),
        dense=_positive(stored["dense"]),
        ranks=tuple(_rank(row) for row in stored["ranks"]),
    )
    ranks = [row.rank for row in bench.ranks]
    if not ranks or ranks != sorted({*ranks}):
        raise ValueError(f"the ranks are {brief(ranks, 60)}")
    if stored["break_even_rank"] != break_even_rank(bench.ranks) or stored["verdict"] != verdict(bench):
        raise ValueError("break-even rank or verdict are not those of the times")
    settings = dict(stored["settings"])
    if not isinstance(settings["training"], bool) or type(settings["batch"]) is not int:
        raise TypeError("training or batch are no settings")
    shlex.split(_text(stored["command"]))  # the page makes another command of its words
    return BenchRecord(
        name=name,
        bench=bench,
        settings=settings,
        versions={key: str(value) for key, value in stored["versions"].items()},
        command=stored["command"],
    )


def _rank(row: Any) -> RankBench:
    if type(row["rank"]) is not int or not 0 < row["rank"] < 2**53:
        raise ValueError(f"a rank is {brief(row['rank'], 60)}")
    return RankBench(rank=row["rank"], **{name: _positive(row[name]) for name in _TIMES})


def _positive(value: Any) -> float:
    number = finite(value)
    if number is None or number <= 0:
        raise ValueError(f"a time or ratio is {brief(value, 60)}")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is {brief(value, 60)}")
    return value

"""Figures that set one of our sides against another one, and which of them we lose."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rankfold.report import markdown_cell

__all__ = ["Figure", "compared"]

# Sides of a table that are not ours, by how their names begin.
_OTHERS = (
    "dense",
    "published",
    "TensorLy",
    "torch",
    "tltorch",
    "pyttb",
    "tensorly-torch",
    "svd",
    "tucker",
    "whitened",
)


class Figure(NamedTuple):
    """One figure: the row it stands in, in words, its name, its value, and whether our side is the slower one."""

    row: str
    name: str
    value: float
    lost: bool


def compared(record: Mapping[str, Any]) -> Iterator[Figure]:
    """All figures of a result that compare one of our sides with another.

    Arguments:
        record: a result; in its ``rows`` columns that start with ``speedup`` are lost below 1, those that start with
            ``x_`` above 1. Rows of other sides are no figures of ours.
    """
    for row in record["rows"]:
        keys = list(row)
        if any(isinstance(row.get(key), str) and row[key].startswith(_OTHERS) for key in ("side", "module")):
            continue
        names = [key for key in keys if key.startswith(("speedup", "x_"))]
        times = [key for key in keys if key in names or key == "ms" or key.endswith("_ms")]
        first = min((keys.index(key) for key in times), default=len(keys))
        what = ", ".join(f"{key} {markdown_cell(row[key])}" for key in keys[:first]).replace("_", " ")
        for name in names:
            value = row[name]
            if value is not None:
                lost = value < 1 if name.startswith("speedup") else value > 1
                yield Figure(what, name.replace("_", " "), value, lost)

"""Tables and figure of the study of lazy training."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rankfold.studies._plotting import HEAT, line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "tables"]


def tables(records: Records) -> list[Table]:
    """Lazy residuals, the comparison of models, and successes by rank and dimension."""
    return [
        Table("The linearised model", [_lazy_row(row) for row in records.found(part="lazy")]),
        Table(
            "Descent on targets of 5 orthonormal components in 20 dimensions",
            [_compared_row(row) for row in records.found(part="compared")],
        ),
        Table("Successes of the 2-homogeneous model by number of components m", _grid_rows(records)),
        Table(
            "Off the span of the target, until its loss is below 1e-3",
            [
                {
                    "l": row["order"],
                    "fitted": f"{row['fitted']} of {row['runs']}",
                    "largest ||P U|| / (sqrt(m) delta)": row["largest"],
                }
                for row in records.found(part="off span")
            ],
        ),
    ]


def plot(records: Records, figure: "Figure") -> None:
    """The residual of the linearised model; successes over m/r and r; successes over m/r and d."""
    figure.set_size_inches(9.5, 3.4)
    figure.set_layout_engine("constrained")
    lazy, ranks, sizes = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    _plot_residuals(lazy, records.found(part="lazy"))
    chosen = records.found(part="grid", order=3, size=30)
    _heat(ranks, chosen, "rank", "rank r of the target", "fitted at d = 30, l = 3")
    by_size = records.found(part="grid", order=3, rank=6)
    image = _heat(sizes, by_size, "size", "dimensions d", "fitted at r = 6, l = 3")
    if image is not None:
        figure.colorbar(image, ax=[ranks, sizes], label="share of runs", shrink=0.9)


def _lazy_row(row: Record) -> dict[str, Any]:
    total = math.comb(row["size"] + row["order"] - 1, row["order"])
    return {
        "l": row["order"],
        "d": row["size"],
        "m": row["count"],
        "md/C": row["count"] * row["size"] / total,
        "residual": row["residual"],
        "predicted": row["predicted"],
    }


def _compared_row(row: Record) -> dict[str, Any]:
    again = "" if row["again"] is None else f", drawn afresh every {row['again']}"
    return {
        "l": row["order"],
        "model": f"{row['model']}{again}",
        "m/r": row["ratio"],
        "fitted": f"{row['solved']} of {row['runs']}",
        "steps, median": row["median"],
        "steps, largest": row["largest"],
    }


def _grid_rows(records: Records) -> list[dict[str, Any]]:
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    for row in records.found(part="grid"):
        key = (row["order"], row["rank"], row["size"])
        line = rows.setdefault(key, dict(zip(("l", "r", "d"), key, strict=True)))
        line[f"m = {row['ratio']:g}r"] = f"{row['solved']} of {row['runs']}"
    return list(rows.values())


def _plot_residuals(axes: "Axes", found: Sequence[Record]) -> None:
    shown = [_lazy_row(row) for row in found]
    for index, (order, size) in enumerate(sorted({(row["l"], row["d"]) for row in shown})):
        rows = [row for row in shown if (row["l"], row["d"]) == (order, size)]
        style = {
            **line_style(index),
            "linestyle": "none" if len(rows) == 1 else line_style(index)["linestyle"],
        }
        axes.plot(
            [row["md/C"] for row in rows],
            [row["residual"] for row in rows],
            label=f"l = {order}, d = {size}",
            **style,
        )
    axes.plot([0, 1, 1.2], [1, 0, 0], color="0.5", linewidth=1, label="1 - md/C")
    axes.set(
        xlabel="parameters over dimensions, md / C(d+l-1, l)", ylabel="residual", title="linearised model"
    )
    axes.legend(fontsize=7)


def _heat(axes: "Axes", found: Sequence[Record], name: str, label: str, title: str) -> Any:
    """Shares of success over m/r (across) and the value of this name (up); None where there are none."""
    axes.set(xlabel="components per rank, m / r", ylabel=label, title=title)
    if not found:
        return None
    across = sorted({row["ratio"] for row in found})
    up = sorted({row[name] for row in found})
    shares = [[math.nan] * len(across) for _ in up]
    for row in found:
        shares[up.index(row[name])][across.index(row["ratio"])] = row["solved"] / row["runs"]
    image = axes.imshow(shares, cmap=HEAT, vmin=0, vmax=1, origin="lower", aspect="auto")
    axes.set_xticks(range(len(across)), [f"{value:g}" for value in across])
    axes.set_yticks(range(len(up)), [str(value) for value in up])
    for line, row in enumerate(shares):
        for column, share in enumerate(row):
            if not math.isnan(share):
                colour = "black" if share > 0.5 else "white"
                axes.text(column, line, f"{share:.2f}", ha="center", va="center", fontsize=7, color=colour)
    return image

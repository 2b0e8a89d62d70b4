"""What the study of deflation tells from its records, as numbers, tables and a figure.

Axes: m components of the model, r = 5 components of the target.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rankfold.studies._deflation_model import WEIGHTS
from rankfold.studies._plotting import COLOURS, line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SMALL_START", "draw", "mean_ahead", "ordered_share", "slopes", "tabulate"]

SMALL_START = 1e-3  # from this start down components come in order, says B1


def ordered_share(rows: list[Record]) -> float:
    """Runs in which all components are fitted, a larger one always before a smaller one, by all runs."""
    runs = [half for row in rows for half in row["half"]]
    return sum(half[0] >= 0 and all(one < two for one, two in pairwise(half)) for half in runs) / len(runs)


def slopes(rows: list[Record]) -> list[list[float]]:
    """Slope of ``a_i t_i`` in ``ln(1 / delta)`` by least squares, per run and component; NaN if one was not fitted."""
    places = [math.log(1 / row["delta"]) for row in rows]
    result = []
    for halves in zip(*(row["half"] for row in rows), strict=True):
        each = [
            _slope(places, [size * time if time >= 0 else math.nan for time in times])
            for size, times in zip(WEIGHTS, zip(*halves, strict=True), strict=True)
        ]
        result.append(each)
    return result


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    middle = sum(x) / len(x)
    return sum((one - middle) * two for one, two in zip(x, y, strict=True)) / sum(
        (one - middle) ** 2 for one in x
    )


def mean_ahead(row: Record) -> float:
    shares = [share for run in row["ahead"] for share in run if share >= 0]
    return sum(shares) / len(shares) if shares else math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_time(row: Record, index: int) -> float | None:
    """``a_i t_i``, mean of the runs that fit the component."""
    times = [half[index] for half in row["half"] if half[index] >= 0]
    return WEIGHTS[index] * _mean(times) if times else None


def tabulate(records: Records) -> list[Table]:
    """The tables of the card."""
    timed = records.found(part="times", orthogonal=True)
    half_times, sharpness = [], []
    for row in timed:
        kind = {"order": row["order"], "m": row["m"], "delta": row["delta"]}
        sizes = {f"component {index + 1}": _mean_time(row, index) for index in range(len(WEIGHTS))}
        half_times.append({**kind, **sizes})
        shares = [share for run in row["ahead"] for share in run if share >= 0]
        sharpness.append(
            {
                **kind,
                "next fitted when half, mean": _mean(shares) if shares else None,
                "least": min(shares, default=None),
                "largest": max(shares, default=None),
                "runs in order": f"{round(ordered_share([row]) * row['runs'])} of {row['runs']}",
                "largest relative error at the end": max(row["final"]),
            }
        )
    rises = []
    for order, m in sorted({(row["order"], row["m"]) for row in timed}):
        rows = [
            row for row in timed if row["order"] == order and row["m"] == m and row["delta"] <= SMALL_START
        ]
        if len(rows) > 1:
            fitted = [
                [slope for slope in each if math.isfinite(slope)] for each in zip(*slopes(rows), strict=True)
            ]
            named = {f"component {index}": _mean(each) for index, each in enumerate(fitted, 1) if each}
            rises.append({"order": order, "m": m, **named})
    decays = [
        {"lambda": row["decay"], "mean of a_i less fitted": _mean([_mean(run) for run in row["missing"]])}
        for row in records.found(part="decay")
    ]
    flows = [
        {
            "m": row["m"],
            "runs": row["runs"],
            "recovered with": row["recovered with"],
            "recovered without": row["recovered without"],
            "steps": row["steps"],
        }
        for row in records.found(part="modified")
    ]
    stayed = [
        {
            "target": "orthogonal" if row["orthogonal"] else "not orthogonal",
            "runs": row["runs"],
            "components left": _spread(row["alive"]),
            "directions left": _spread(row["directions"]),
            "largest relative error": max(row["errors"]),
            "largest cosine of the target": max(row["cosine"]),
        }
        for row in records.found(part="stayed")
    ]
    return [
        Table("Half-times by size, a_i t_i, mean of the runs", half_times),
        Table("Slope of a_i t_i in ln(1/delta), mean of the runs; 1/2 by the logistic law", rises),
        Table("Sharpness of the steps", sharpness),
        Table("Weight decay", decays, drawn=True),
        Table("Re-initialisation at small m", flows),
        Table("What is left of 50 components; the target has 5", stayed),
    ]


def _spread(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}" if min(values) < max(values) else f"{values[0]}"


def draw(records: Records, figure: "Figure") -> None:
    """Weights over time, half-times over the start, errors beside a matrix and beside no orthogonality, recovery."""
    figure.set_size_inches(8, 6.4)
    ((weights, times), (errors, recovered)) = figure.subplots(2, 2)
    _draw_weights(records, weights)
    _draw_times(records, times)
    _draw_errors(records, errors)
    _draw_recovered(records, recovered)


def _draw_weights(records: Records, axes: "Axes") -> None:
    rows = records.found(part="times", order=4, m=50, orthogonal=True, curve=True)
    rows = sorted(rows, key=lambda row: row["delta"])
    for row, dash in zip(rows, ("-", "--", ":"), strict=False):
        for index, colour in zip(range(len(WEIGHTS)), COLOURS, strict=False):
            heights = [point[index] for point in row["weights"]]
            label = f"start {row['delta']:g}" if index == 0 else None
            axes.plot(row["times"], heights, color=colour, linestyle=dash, linewidth=1.2, label=label)
            half = row["half"][0][index]
            if half >= 0:
                axes.plot(half, WEIGHTS[index] / 2, color=colour, marker="o", markersize=3.5)
    axes.set(xlabel="time", ylabel="fitted weight", title="components appear in order of size")
    if rows:
        axes.legend(fontsize=7, loc="lower right")


def _draw_times(records: Records, axes: "Axes") -> None:
    rows = records.found(part="times", order=4, m=50, orthogonal=True)
    rows = sorted(rows, key=lambda row: row["delta"])
    starts = [1 / row["delta"] for row in rows]
    for index, weight in enumerate(WEIGHTS):
        heights = [_mean_time(row, index) for row in rows]
        points = [
            (start, height) for start, height in zip(starts, heights, strict=True) if height is not None
        ]
        axes.plot(
            [start for start, _ in points],
            [height for _, height in points],
            label=f"a = {weight:.2f}",
            **line_style(index),
        )
    if rows:
        ends = [min(starts), max(starts)]
        axes.plot(ends, [0.5 * math.log(end) for end in ends], color="0.5", linewidth=1, label="slope 1/2")
        axes.set_xscale("log")
        axes.legend(fontsize=7)
    axes.set(xlabel="1 / norm of the start", ylabel="half-time by size, a t", title="the time is logarithmic")


def _draw_errors(records: Records, axes: "Axes") -> None:
    rows = records.found(part="times", m=50, delta=1e-6, curve=True)
    for index, row in enumerate(rows):
        kind = "matrix" if row["order"] == 2 else "tensor"
        label = f"{kind}, {'orthogonal' if row['orthogonal'] else 'not orthogonal'}"
        axes.plot(row["times"], row["errors"], label=label, **line_style(index, markers=False))
    axes.set(xlabel="time", ylabel="relative error", yscale="log", ylim=(5e-4, 1.5), title="start 1e-06")
    if rows:
        axes.legend(fontsize=7)


def _draw_recovered(records: Records, axes: "Axes") -> None:
    rows = sorted(records.found(part="modified"), key=lambda row: row["m"])
    for index, name in enumerate(("with", "without")):
        axes.plot(
            [row["m"] for row in rows],
            [row[f"recovered {name}"] / row["runs"] for row in rows],
            label=f"{name} re-initialisation",
            **line_style(index),
        )
    axes.set(
        xlabel="components m",
        ylabel="share of runs that recover",
        ylim=(-0.05, 1.05),
        title="the modified flow",
    )
    axes.legend(fontsize=7, loc="lower right")

"""Long series made short enough for a page, extremes kept."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankfold.report.page._blocks import HeatMap, Line, LineChart
from rankfold.report.page._numbers import finite

__all__ = ["RULE", "kept_places", "thinned_heat_map", "thinned_lines"]

#: The rule in words, for the notes below charts.
RULE = "the first, the last, and in each of equal spans the least and the greatest value of every line"


def kept_places(lines: Sequence[Sequence[float | None]], most: int) -> list[int]:
    """Which places of lines to keep: the first, the last, and the extremes of every line in equal spans.

    Arguments:
        lines: values over common places, at least one line.
        most: places to keep, but never fewer than first, last, and one span's extremes.

    Returns:
        Places in rising order; all of them where they are few enough.

    Example:
        >>> kept_places([[0, 1, 9, 1, 0, 0, -5, 0, 0, 0, 0]], 6)
        [0, 2, 5, 6, 10]
    """
    count = len(lines[0]) if lines else 0
    if count <= most:
        return list(range(count))
    spans = max(1, (most - 2) // (2 * len(lines)))
    kept = {0, count - 1}
    for values in map(_known, lines):
        missing = np.isnan(values)
        for span in range(spans):
            start, end = span * count // spans, (span + 1) * count // spans
            gaps, part = missing[start:end], values[start:end]
            if gaps.all():
                continue
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
            if gaps.any():  # a gap stays one
                kept.add(start + int(gaps.argmax()))
    return sorted(kept)


def _known(line: Sequence[float | None]) -> np.ndarray:
    """The numbers of a line, NaN where there is none."""
    try:
        values = np.array(line, dtype=float)
    except OverflowError:  # integers beyond all floats
        values = np.array([finite(value) for value in line], dtype=float)
    values[~np.isfinite(values)] = np.nan
    return values


def thinned_lines(chart: LineChart, most: int) -> tuple[LineChart, str]:
    """A chart of fewer places, and the note that says so; the chart itself and no note where it is short.

    Arguments:
        chart: of any length.
        most: values of all lines together.
    """
    if not chart.lines:
        return chart, ""
    places = kept_places([line.values for line in chart.lines], max(8, most // len(chart.lines)))
    if len(places) == len(chart.x):
        return chart, ""
    short = replace(
        chart,
        x=tuple(chart.x[place] for place in places),
        lines=tuple(Line(line.name, tuple(line.values[at] for at in places)) for line in chart.lines),
    )
    return short, f"{len(places):,} of {len(chart.x):,} points are shown: {RULE}."


def thinned_heat_map(chart: HeatMap, most: int) -> tuple[HeatMap, str]:
    """A map of fewer columns, and the note that says so; rows beyond what is allowed are left out.

    Arguments:
        chart: of any size.
        most: cells.
    """
    rows, columns = len(chart.rows), len(chart.columns)
    kept_rows = min(rows, max(1, most // 8))
    wide = max(2, most // max(1, kept_rows))
    if kept_rows == rows and columns <= wide:
        return chart, ""
    places = sorted({round(at * (columns - 1) / (wide - 1)) for at in range(wide)} if columns else set())
    short = replace(
        chart,
        rows=chart.rows[:kept_rows],
        columns=tuple(chart.columns[place] for place in places),
        values=tuple(tuple(row[place] for place in places) for row in chart.values[:kept_rows]),
    )
    note = (
        f"{len(places):,} of {columns:,} columns are shown, evenly spread, the first and the last among them."
    )
    return short, note + (f" Rows after the first {kept_rows:,} are left out." if kept_rows < rows else "")

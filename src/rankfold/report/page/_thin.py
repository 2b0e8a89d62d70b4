"""Long series made short enough for a page, extremes kept."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from rankfold._display import finite
from rankfold.report.page._blocks import HeatMap, Line, LineChart

__all__ = ["RULE", "kept_places", "thinned_heat_map", "thinned_lines"]

#: The rule in words, for the foot of the page.
RULE = (
    "Where fewer points are drawn than there are, they are the first, the last, and in each of equal spans the least "
    "and the greatest value of every line."
)


def kept_places(lines: Sequence[Sequence[float | None]], most: int) -> list[int]:
    """Which places of lines to keep: the first, the last, and the extremes of every line in equal spans.

    Arguments:
        lines: values over common places, at least one line.
        most: places to keep, but never fewer than first, last, and one span's extremes.

    Returns:
        Places in rising order; all of them where they are few enough.

    Example:
        >>> kept_places([[0, 1, 9, 1, 0, 0, -5, 0, 0, 0, 0]], 5)
        [0, 2, 5, 6, 10]
    """
    count = len(lines[0]) if lines else 0
    if count <= most:
        return list(range(count))
    known = [_known(line) for line in lines]
    # Extremes of lines that rise or fall together are the same places, so there may be room for more spans than the
    # least that is certain.
    spans, certain = max(1, most // 2), max(1, (most - 2) // (2 * len(lines)))
    places = _extremes(known, spans)
    while len(places) > most and spans > certain:
        spans = max(certain, spans * 2 // 3)
        places = _extremes(known, spans)
    return places


def _extremes(lines: list[np.ndarray], spans: int) -> list[int]:
    count = len(lines[0])
    kept = {0, count - 1}
    bounds = [span * count // spans for span in range(spans + 1)]
    for values in lines:
        missing = np.isnan(values)
        gaps = bool(missing.any())
        for start, end in pairwise(bounds):
            part = values[start:end]
            if not gaps:
                kept |= {start + int(part.argmin()), start + int(part.argmax())}
            elif not missing[start:end].all():
                kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
                if missing[start:end].any():  # a gap stays one
                    kept.add(start + int(missing[start:end].argmax()))
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
    return short, f"{len(places):,} of {len(chart.x):,} points are drawn."


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

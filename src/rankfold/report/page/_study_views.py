"""What a study looks like: its figure, and its tables, drawn where they are curves."""

from collections.abc import Iterator

from rankfold._display import finite
from rankfold.report.page._blocks import Block, Line, LineChart, Picture, Table, Text
from rankfold.report.page._study_record import StudyRecord, StudyTable

__all__ = ["FIGURES", "measured_blocks"]

#: Letters of all figures on a page, which leave room for the rest below two megabytes once a third is added to them as
#: the address of an image (choice of this library).
FIGURES = 900_000
# Largest over least number from which on a curve is read more easily on a logarithmic axis (choices of this library).
_WIDE, _HIGH = 50, 1000


def measured_blocks(record: StudyRecord, room: int) -> Iterator[Block]:
    """The figure, charts of the tables that are curves, and all tables.

    Arguments:
        record: of a study.
        room: letters that the figure may have.
    """
    if record.figure is not None and len(record.figure) <= room:
        yield Picture(
            title=record.title,
            description=f"Figure of the study {record.study}; tables with its numbers follow.",
            svg=record.figure,
        )
    elif record.figure is not None:
        yield Text(f"The figure is too large for this page; it is figure.svg in the folder of {record.name}.")
    for table in record.tables:
        if table.drawn:
            yield _chart(table)
    for table in record.tables:
        yield Table(caption=table.title, columns=table.columns, rows=table.rows)
    if not record.tables:
        yield Text("There are no numbers yet.")


def _chart(table: StudyTable) -> LineChart:
    places = [number for row in table.rows if (number := finite(row[0])) is not None]
    rows = [row for _, row in sorted(zip(places, table.rows, strict=True), key=lambda pair: pair[0])]
    lines = tuple(
        Line(name, tuple(finite(row[at]) for row in rows)) for at, name in enumerate(table.columns) if at
    )
    values = [value for line in lines for value in line.values if value is not None]
    return LineChart(
        title=table.title,
        description="The numbers are in the table of this name, too.",
        x_label=table.columns[0],
        y_label="",
        x=tuple(sorted(places)),
        lines=lines,
        x_log=_spread(places) >= _WIDE,
        y_log=_spread(values) >= _HIGH,
    )


def _spread(values: list[float]) -> float:
    """Largest over least; 0 where not all are over 0."""
    return max(values) / min(values) if values and min(values) > 0 else 0.0

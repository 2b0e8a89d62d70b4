"""A matrix as comma-separated values."""

import csv
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._tensor_source import TensorSource
from rankfold.data._unpacking import limited_lines

__all__ = ["open_csv"]


def open_csv(path: Path, key: str | None) -> TensorSource:
    """Count the rows of a ``.csv`` file; a first line with a word in it names the columns, blank cells are NaN.

    Raises:
        DataError: the file is no UTF-8 text or holds no numbers, or a key is given.
    """
    if key is not None:
        raise DataError(f"{path}: got the key {key!r}, a .csv file holds one matrix; leave the key out.")
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: the file is empty; pass a table of numbers.")
    columns, header = len(first[1]), _is_header(first[1])
    rows = sum(1 for _ in lines) + (not header)
    if rows == 0:
        raise DataError(f"{path}: the file holds a line of names and no numbers; pass a table of numbers.")
    return TensorSource(
        path=path,
        shape=(rows, columns),
        stored=rows * columns,
        stored_dtype="float64",
        dtype=torch.float64,
        read_bytes=2 * rows * columns * 8,  # an array that grows may hold twice its content
        load=lambda: _read(path, columns, header),
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty."""
    try:
        with path.open("rb") as file:
            lines = limited_lines(file, path.stat().st_size)
            first = next(lines).removeprefix("\ufeff")
            # Cells in quotes may hold ends of lines.
            reader = csv.reader(f"{line}\n" for line in chain([first], lines))
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (ValueError, csv.Error) as error:  # no UTF-8, or a line that is too long
        raise DataError(f"{path}: the file is no table in UTF-8 text ({error}); write it again.") from None


def _is_header(cells: list[str]) -> bool:
    try:
        _numbers(cells)
    except ValueError:
        return True
    return False


def _numbers(cells: list[str]) -> list[float]:
    return [float(cell) if cell.strip() else float("nan") for cell in cells]


def _read(path: Path, columns: int, header: bool) -> Tensor:
    numbers = array("d")
    lines = _lines(path)
    if header:
        next(lines, None)
    for number, cells in lines:
        if len(cells) != columns:
            raise DataError(
                f"{path}: line {number} has {len(cells)} cells, the first has {columns}; make them equal."
            )
        try:
            numbers.extend(_numbers(cells))
        except ValueError as error:
            raise DataError(
                f"{path}: line {number}: {error}; allowed are numbers and blank cells (missing)."
            ) from None
    return torch.frombuffer(numbers, dtype=torch.float64).view(-1, columns).clone()

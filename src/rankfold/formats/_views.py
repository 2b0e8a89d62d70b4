"""What formats show in a notebook: what their shapes say, and of small ones what their numbers say."""

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite, log10, prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rankfold._display import Bar, Block, Cell, Curve, Drawn, Facts, Grid, Note, View, shown_number, sizes
from rankfold.formats._scale import shifted
from rankfold.formats._spectra import bond_spectra, mode_spectra

if TYPE_CHECKING:
    from rankfold.formats._format import Format

__all__ = ["component_blocks", "format_view", "train_blocks", "tucker_blocks"]

# Choices of this library: on one core of a busy machine a display then takes a quarter of a second at most.
_MOST_WORK = 1_000_000_000  # multiplications in float64
_MOST_NUMBERS = 1_000_000  # stored, which are gone through several times
_MOST_MODES = 50

_WRITTEN = 10**15  # larger numbers of entries are given as powers of ten
_ROWS = 12  # of modes or components, which still leaves the cell below in sight
_RESOLVED = 1e-7  # of the largest: below, singular values from Gram matrices are rounding
_ENERGY = 0.99  # of the squared norm, a usual share at which to cut


def format_view(value: "Format") -> View:
    """Shape, ranks and size of a tensor against the dense one, norm, and what else its format has to show."""
    whole, stored = prod(value.shape), value.num_parameters
    share = stored / whole if whole else None
    text = f"{stored:,} instead of {_count(whole)}"
    facts: list[tuple[str, Cell]] = [
        ("shape", _few(value.shape)),
        ("rank" if len(value.ranks) == 1 else "ranks", _few(value.ranks)),
        ("parameters", Drawn(text if share is None else f"{text} ({_percent(share)})", Bar(share))),
        ("stored as", f"{str(value.dtype).removeprefix('torch.')} on {value.device}"),
    ]
    reason = _reason(value)
    with torch.no_grad():
        blocks = tuple(value._blocks(reason is None))
        if reason is None:
            norm = float(value.norm())
            facts.append(("norm", shown_number(norm) if isfinite(norm) else "not finite"))
    notes = () if reason is None else (Note(reason),)
    return View(type(value).__name__, (Facts(tuple(facts)), *blocks, *notes))


def _reason(value: "Format") -> str | None:
    """Why nothing is computed from the numbers, or None."""
    if value.device.type == "meta":
        return "A tensor on the device meta holds no numbers."
    if value.num_parameters > _MOST_NUMBERS or value.order > _MOST_MODES or value._work() > _MOST_WORK:
        return "Too large to compute norms and spectra for a display."
    return None


def tucker_blocks(core: Tensor, factors: Sequence[Tensor | None], exponent: Tensor | None) -> list[Block]:
    """Modes, sizes and ranks of a Tucker tensor, and the singular values along each factorised mode.

    Arguments:
        core: ``(r_1, ..., r_d)``.
        factors: per mode ``(n_i, r_i)`` or None.
        exponent: of a power of two that core and factors lack; None where their numbers are not to be touched.
    """
    known: dict[int, Tensor] = {}
    if exponent is not None:
        known = mode_spectra(
            core, {mode: factor for mode, factor in enumerate(factors) if factor is not None}
        )
    rows = [
        (mode, rank if factor is None else factor.shape[0], rank, known.get(mode))
        for mode, (factor, rank) in enumerate(zip(factors, core.shape, strict=True))
    ]
    return _ranks("rank", rows, exponent)


def train_blocks(cores: Sequence[Tensor], exponent: Tensor | None) -> list[Block]:
    """Modes, sizes and inner ranks of a tensor train, and the singular values at each inner rank.

    Arguments:
        cores: ``(r_{k-1}, n_k, r_k)``.
        exponent: as of :func:`tucker_blocks`.
    """
    known = [None] * (len(cores) - 1) if exponent is None else bond_spectra(cores)
    rows = [
        (mode, core.shape[1], core.shape[2], values)
        for mode, (core, values) in enumerate(zip(cores, (*known, None), strict=True))
    ]
    return _ranks("rank to the next", rows, exponent)


def component_blocks(weights: Tensor) -> list[Block]:
    """The components of a CP tensor, the largest first.

    Arguments:
        weights: their norms ``(R,)``.
    """
    norms = weights.cpu().double().sort(descending=True).values.tolist()
    if not all(map(isfinite, norms)):
        return [Note("Norms of components are not finite.", warning=True)]
    largest = max(norms, default=0.0)
    squares = [(norm / largest) ** 2 if largest > 0 else 0.0 for norm in norms]
    total = sum(squares) or 1.0
    rows = tuple(
        (
            str(place),
            Drawn(shown_number(norm), Bar(norm / largest if largest > 0 else None)),
            _percent(square / total),
        )
        for place, (norm, square) in enumerate(zip(norms[:_ROWS], squares, strict=False), 1)
    )
    blocks: list[Block] = (
        [Grid(("component", "norm", "share of the squares"), rows, numbers=(0, 1, 2))] if rows else []
    )
    if len(norms) > _ROWS:
        rest = sum(squares[_ROWS:]) / total
        blocks.append(Note(f"{len(norms) - _ROWS:,} more components with {_percent(rest)} of the squares"))
    return blocks


def _ranks(
    name: str, rows: Sequence[tuple[int, int, int, Tensor | None]], exponent: Tensor | None
) -> list[Block]:
    columns = ("mode", "size", name)
    cells: list[tuple[Cell, ...]] = [
        (str(mode), f"{size:,}", f"{rank:,}") for mode, size, rank, _ in rows[:_ROWS]
    ]
    if exponent is not None:
        columns = (*columns, "singular values")
        power = exponent.cpu().double()
        cells = [
            (*row, "" if values is None else _spectrum(shifted(values, power).tolist()))
            for row, (*_, values) in zip(cells, rows, strict=False)
        ]
    blocks: list[Block] = [Grid(columns, tuple(cells), numbers=(0, 1, 2))]
    if len(rows) > _ROWS:
        blocks.append(Note(f"{len(rows) - _ROWS:,} more modes"))
    return blocks


def _spectrum(values: list[float]) -> Cell:
    """Singular values, largest first, in words and drawn."""
    if not all(map(isfinite, values)):
        return "not finite"
    if not values or values[0] <= 0:
        return "none above 0"
    squares = [(value / values[0]) ** 2 for value in values]
    enough = next(n for n, kept in enumerate(accumulate(squares), 1) if kept >= _ENERGY * sum(squares))
    least = max(values[-1], _RESOLVED * values[0])
    below = "below " if values[-1] < least else ""
    ends = (
        shown_number(values[0])
        if len(values) == 1
        else f"{shown_number(values[0])} to {below}{shown_number(least)}"
    )
    text = f"{ends}, {_ENERGY:.0%} of the squares in {enough}"
    heights = [max(value, least) for value in values]
    return Drawn(text, Curve(heights, f"{len(values)} singular values, largest first"))


def _few(numbers: Sequence[int]) -> str:
    """A shape or ranks, of many the first and the last."""
    if len(numbers) <= _ROWS:
        return sizes(numbers) if numbers else "none"
    return f"{sizes(numbers[:4])}x...x{sizes(numbers[-2:])} ({len(numbers)} of them)"


def _count(number: int) -> str:
    """A whole number of any size."""
    return f"{number:,}" if number < _WRITTEN else f"about 10^{log10(number):.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

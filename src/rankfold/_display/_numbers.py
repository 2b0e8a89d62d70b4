"""Numbers as people read them."""

from collections.abc import Sequence
from math import isfinite

__all__ = ["data_number", "duration", "finite", "shown_number", "sizes", "tick_number"]

_SMALL, _LARGE = 1e-3, 1e5  # outside, floats are written with an exponent; choice of this library
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def finite(value: object) -> float | None:
    """The number, or None for what is none: another type, NaN, infinity, or an integer beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def shown_number(value: float | None) -> str:
    """Four digits for people; whole numbers in full with thousands separated; a dash for none.

    Example:
        >>> shown_number(431080), shown_number(0.123456), shown_number(1e-7), shown_number(float("nan"))
        ('431,080', '0.1235', '1e-7', '-')
    """
    number = finite(value)
    if number is None:
        return "-"
    if isinstance(value, int) and abs(value) < 1e15:
        return f"{value:,}"
    if 1e4 <= abs(number) < _LARGE:  # four digits would want an exponent
        return f"{number:,.0f}"
    return f"{number:.4g}" if number == 0 or _SMALL <= abs(number) < _LARGE else _with_exponent(number, 3)


def data_number(value: float | None) -> str:
    """Six digits for a table of data, as short as they can be; nothing for none.

    Example:
        >>> data_number(12.0), data_number(1234567), data_number(None)
        ('12', '1234567', '')
    """
    number = finite(value)
    if number is None:
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"


def duration(seconds: float) -> str:
    """A time in two units at most.

    Example:
        >>> duration(25.62), duration(200), duration(20000)
        ('25.6 s', '3 min 20 s', '5 h 33 min')
    """
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def sizes(shape: Sequence[int]) -> str:
    """Write a shape or ranks, such as 20x1x5x5; a scalar has shape 1."""
    return "x".join(str(size) for size in shape) or "1"


def tick_number(value: float) -> str:
    """A number beside an axis, where there is little room.

    Example:
        >>> tick_number(20000.0), tick_number(0.25), tick_number(1e-6)
        ('20k', '0.25', '1e-6')
    """
    size, unit = abs(value), ""
    if size >= 1e15 or 0 < size < _SMALL:
        return _with_exponent(value, 2)
    if size >= 1e4:
        size, unit = next(((size / step, unit) for step, unit in _UNITS if size >= step), (size, ""))
    return f"{'-' if value < 0 else ''}{size:.4g}{unit}"


def _with_exponent(number: float, digits: int) -> str:
    """So many digits after the point, without zeros at their end."""
    mantissa, _, power = f"{number:.{digits}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"

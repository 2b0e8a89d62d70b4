"""From numbers to places on a chart."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from rankfold._display import finite

__all__ = ["Axis", "axis_over"]

_ROOM = 0.08  # share of an axis; ten pixels, more than half a marker
_TICKS = 5  # about as many as fit beside a small chart


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale between two numbers.

    Arguments:
        low, high: its ends, different from each other; over 0 if ``log``.
        log: whether equal ratios are equally long.
    """

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Share of the axis that lies below a value."""
        if self.log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        # Halves, because the difference of two finite numbers need not be one.
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def with_room(self) -> "Axis":
        """The axis with room at its ends, where a point would be half hidden; numbers below 0 only if there are some.

        Example:
            >>> Axis(100.0, 200.0).with_room()
            Axis(low=92.0, high=208.0, log=False)
        """
        if self.log:
            factor = (self.high / self.low) ** _ROOM
            return Axis(self.low / factor, self.high * factor, log=True)
        room = _ROOM * (self.high - self.low)
        return Axis(self.low - room if self.low < 0 else max(0.0, self.low - room), self.high + room)

    def ticks(self) -> list[float]:
        """Round numbers on the axis: decades where there are several, otherwise 1, 2 or 5
        times powers of ten, or multiples of one of these."""
        if self.log:
            first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
            if last - first >= 2:
                step = ceil((last - first + 1) / _TICKS)
                return [10.0**power for power in range(first, last + 1, step)]
            near = [
                float(f"{factor * 10.0**power:.12g}")
                for power in range(first - 1, last + 1)
                for factor in (1, 2, 5)
            ]
            inside = [tick for tick in near if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]
            if len(inside) > 1:
                return inside
        return self._even_ticks()

    def _even_ticks(self) -> list[float]:
        rough = self.high / _TICKS - self.low / _TICKS
        power = 10.0 ** floor(log10(rough)) if rough > 1e-300 else 0.0
        if not power:
            return [self.low, self.high]
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        # Through text, so that 3 * 0.1 is 0.3.
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)] or [self.low, self.high]


def axis_over(values: Iterable[float | None], *, log: bool = False, zero: bool = False) -> Axis:
    """An axis that holds all finite values, and 0 if ``zero``.

    Arguments:
        values: None and what is not finite is left out; so are numbers that are not over 0 if ``log``.
        log, zero: see above.

    Example:
        >>> axis_over([2.0, None, 4.0])
        Axis(low=2.0, high=4.0, log=False)
    """
    numbers = [number for number in map(finite, values) if number is not None and (number > 0 or not log)]
    low, high = (min(numbers), max(numbers)) if numbers else (1.0, 10.0) if log else (0.0, 1.0)
    if zero and not log:
        low, high = min(low, 0.0), max(high, 0.0)
    if log and log10(high) - log10(low) < 1e-6:
        low, high = max(low / 2, 5e-324), min(high * 2, 1.7e308)
    elif not log and not high / 2 - low / 2 > max(abs(low), abs(high)) * 1e-12:
        margin = abs(low) * 0.1 or 1.0
        low, high = max(low - margin, -1.7e308), min(high + margin, 1.7e308)
    return Axis(low, high, log)

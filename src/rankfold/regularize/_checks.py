"""Checks that several regularisers make."""

from math import isfinite

from rankfold._errors import OptionError

__all__ = ["check_number", "check_strength"]


def check_number(where: str, name: str, value: object, low: float, high: float) -> None:
    """A number with ``low <= value < high``.

    Raises:
        OptionError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise OptionError(
            f"{where}: {name} must be a number in [{low:g}, {high:g}), got {value!r}; pass such a number."
        )


def check_strength(where: str, value: object, name: str = "strength") -> None:
    """A finite number of 0 or more.

    Raises:
        OptionError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value >= 0):
        raise OptionError(
            f"{where}: {name} must be a finite number of 0 or more, got {value!r}; pass such a number."
        )

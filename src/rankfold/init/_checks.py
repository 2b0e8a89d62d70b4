"""Checks that several initialisers make."""

from math import isfinite

from rankfold._errors import OptionError

__all__ = ["check_count", "check_positive"]


def check_positive(where: str, name: str, value: object, *, none: bool = False) -> None:
    """A finite number over 0, or with ``none`` None.

    Raises:
        OptionError: otherwise.
    """
    if none and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
        allowed = "None or a finite number" if none else "a finite number"
        raise OptionError(f"{where}: {name} must be {allowed} over 0, got {value!r}; pass such a number.")


def check_count(where: str, name: str, value: object) -> None:
    """A whole number of 1 or more.

    Raises:
        OptionError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(
            f"{where}: {name} must be a whole number of 1 or more, got {value!r}; pass such a number."
        )

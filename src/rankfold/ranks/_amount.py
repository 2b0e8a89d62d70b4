"""Amounts that are given as a share or as a count."""

from numbers import Integral, Real

from rankfold._errors import OptionError

__all__ = ["absolute", "check_amount", "is_share"]


def is_share(value: object) -> bool:
    """Whether a value is a number in (0, 1]."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) <= 1


def check_amount(where: str, name: str, value: object) -> None:
    """Raise OptionError unless a value is a float in (0, 1] or a whole number of at least 1."""
    whole = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
    if not whole and (isinstance(value, Integral) or not is_share(value)):
        raise OptionError(
            f"{where}: {name} must be a float in (0, 1], a share of the dense model, or a whole number of at least 1, "
            f"a count; got {value!r}."
        )


def absolute(value: float, total: float) -> float:
    """A checked amount as a count."""
    return float(value) if isinstance(value, Integral) else float(value) * total

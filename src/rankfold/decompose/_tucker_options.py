"""What may be asked of a Tucker decomposition together."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from rankfold._errors import OptionError

__all__ = ["checked_amount", "checked_method"]

_METHODS = ("auto", "st_hosvd", "hooi", "randomized")


def checked_amount(where: str, given: Mapping[str, Any]) -> None:
    """Refuse anything but exactly one of the ways to say how much is kept, in its range.

    Raises:
        OptionError: none or several given, or a tolerance or an energy out of range.
    """
    count = sum(value is not None for value in given.values())
    if count != 1:
        names = [f"{name}=" for name in given]
        raise OptionError(
            f"{where}: got {count or 'none'}; pass exactly one of {', '.join(names[:-1])} and {names[-1]}."
        )
    tolerance, energy = given.get("tolerance"), given.get("energy")
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= float(tolerance) < 1):
        raise OptionError(f"{where}: tolerance must lie in [0, 1), got {tolerance!r}; 0.1 allows 10 % error.")
    if energy is not None and not (isinstance(energy, Real) and 0 < float(energy) <= 1):
        raise OptionError(
            f"{where}: energy must lie in (0, 1], got {energy!r}; 0.99 keeps 99 % of the squared norm."
        )


def checked_method(
    where: str, method: str, max_iterations: int, *, masked: bool, nonnegative: bool, ranked: bool
) -> None:
    """Refuse combinations that mean nothing.

    Raises:
        OptionError: an unknown method, a negative number of iterations, or options that exclude each other.
    """
    if method not in _METHODS:
        raise OptionError(
            f"{where}: method must be one of {', '.join(_METHODS)}, got {method!r}; choose one of these."
        )
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 0:
        raise OptionError(
            f"{where}: max_iterations must be a whole number from 0, got {max_iterations!r}; pass one."
        )
    if (masked or nonnegative) and method != "auto":
        kind = "a mask" if masked else "nonnegative=True"
        raise OptionError(
            f"{where}: got method={method!r} with {kind}, which has one method only; leave method out."
        )
    if masked and not ranked:
        raise OptionError(
            f"{where}: got a tolerance or an energy for a tensor with gaps, where enough ranks meet any of them on the "
            "observed entries and say nothing about the others; pass ranks=."
        )
    if nonnegative and not ranked:
        raise OptionError(
            f"{where}: nonnegative=True came with a tolerance or an energy, which nothing can promise; pass ranks=."
        )
    if method == "randomized" and not ranked:
        raise OptionError(
            f"{where}: method 'randomized' needs to know how many columns to draw; pass ranks=."
        )

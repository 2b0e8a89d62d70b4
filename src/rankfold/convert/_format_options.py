"""Options of a conversion that depend on the format."""

from collections.abc import Sequence
from typing import Literal

from rankfold._checks import check_count
from rankfold._errors import OptionError
from rankfold.convert._rules import FORMATS
from rankfold.layers._tt_matrix_layer import CORES

__all__ = ["Modes", "checked_cores", "checked_modes"]

Modes = Sequence[int] | Literal["all"] | None


def checked_modes(where: str, modes: Modes) -> tuple[int, ...] | str | None:
    """Modes of convolution weights as they were given.

    Raises:
        OptionError: another word than ``'all'``.
    """
    if isinstance(modes, str):
        if modes != "all":
            raise OptionError(
                f"{where}: modes must be None, 'all' or a tuple of mode numbers, got {modes!r}; pass one of these."
            )
        return modes
    return None if modes is None else tuple(modes)


def checked_cores(where: str, format: str, modes: Modes, cores: int | None) -> int | None:
    """How many cores a TT-matrix gets; None of other formats.

    Raises:
        OptionError: an unknown format, options that it does not take, or fewer than two cores.
    """
    if FORMATS[format].name != "tt_matrix":
        if cores is not None:
            raise OptionError(
                f"{where}: got {cores} cores for format {format!r}; leave cores out, or pass format='tt_matrix'."
            )
        return None
    if modes is not None:
        raise OptionError(
            f"{where}: got modes {modes!r} for format 'tt_matrix', which splits rows and columns; pass cores."
        )
    if cores is None:
        return CORES
    check_count(where, "cores", cores, 2)
    return cores

"""Allowed values of the arguments of TDLRT."""

from rankfold._errors import OptionError

__all__ = ["check_options"]


def check_options(
    tolerance: float, core_steps: int, min_rank: int, tolerance_warmup: int, freeze_bases_after: int | None
) -> None:
    """Raise OptionError for the first argument out of range."""
    if not 0 <= tolerance < 1:
        raise OptionError(f"TDLRT: tolerance must lie in [0, 1), got {tolerance}; 0.1 cuts at 10 % error.")
    whole = {
        "core_steps": (core_steps, 1),
        "min_rank": (min_rank, 1),
        "tolerance_warmup": (tolerance_warmup, 0),
        "freeze_bases_after": (0 if freeze_bases_after is None else freeze_bases_after, 0),
    }
    for name, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"TDLRT: {name} must be a whole number of at least {least}, got {value!r}.")

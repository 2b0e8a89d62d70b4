"""Allowed values of the arguments of TDLRT."""

from rankfold._errors import OptionError

__all__ = ["check_options"]


def check_options(
    tolerance: float, *, freeze_bases_after: int | None, parameter_budget: int | None, **counts: int
) -> None:
    """Raise OptionError for the first argument out of range; counts are whole numbers of at least 1 (warm-ups 0)."""
    if not 0 <= tolerance < 1:
        raise OptionError(f"TDLRT: tolerance must lie in [0, 1), got {tolerance}; 0.1 cuts at 10 % error.")
    whole = {name: (value, 0 if name.endswith("_warmup") else 1) for name, value in counts.items()}
    whole["freeze_bases_after"] = (0 if freeze_bases_after is None else freeze_bases_after, 0)
    whole["parameter_budget"] = (1 if parameter_budget is None else parameter_budget, 1)
    for name, (value, least) in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(
                f"TDLRT: {name} must be a whole number of at least {least}, got {value!r}; pass one."
            )

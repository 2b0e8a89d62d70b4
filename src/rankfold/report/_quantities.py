"""Numbers in words."""

__all__ = ["count", "milliseconds", "ratio", "short_milliseconds"]

_PREFIXES = ("", " k", " M", " G", " T", " P")


def count(number: float) -> str:
    """A large number with four digits.

    Example:
        >>> count(81_104_000), count(950)
        ('81.10 M', '950')
    """
    step = 0
    while abs(number) >= 999.95 and step < len(_PREFIXES) - 1:
        number, step = number / 1000, step + 1
    return f"{number:#.4g}{_PREFIXES[step]}" if step else f"{number:.4g}"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds, without the unit.

    Example:
        >>> milliseconds(0.00123456), milliseconds(0.25)
        ('1.235', '250.0')
    """
    return f"{1000 * seconds:.3f}" if seconds < 0.1 else f"{1000 * seconds:.1f}"


def short_milliseconds(seconds: float) -> str:
    """A time in milliseconds with the three digits that a measurement has at most, without the unit.

    Example:
        >>> short_milliseconds(0.00123456), short_milliseconds(1.25)
        ('1.23', '1,250')
    """
    number = 1000 * seconds
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def ratio(after: float, before: float) -> str:
    """A share of what was before, empty where that is nothing.

    Example:
        >>> ratio(1, 8), ratio(1, 0)
        ('12.5%', '')
    """
    return f"{after / before:.1%}" if before else ""

"""Cells that several tables have."""

from rankfold._display._view import Bar, Drawn

__all__ = ["share_left"]


def share_left(before: int, after: int) -> Drawn:
    """What is left of a number of parameters, and how much of them that is.

    Example:
        >>> share_left(2000, 1000)
        Drawn(text='1,000', picture=Bar(share=0.5))
    """
    return Drawn(f"{after:,}", Bar(after / before if before else None))

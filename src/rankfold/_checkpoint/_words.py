"""Parts of sentences; what comes from a file may be of any length."""

from collections.abc import Sequence

__all__ = ["brief", "some"]


def brief(value: object, most: int = 200) -> str:
    """A text or error in one line of limited length, without a full stop."""
    line = " ".join(str(value).split()).rstrip(".")
    return line if len(line) <= most else f"{line[: most - 3]}..."


def some(items: Sequence[str], most: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(brief(item, 100) for item in items[:most]) + more

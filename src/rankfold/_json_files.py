"""JSON that others may have written: read with limits, and refused with an error of its own kind only."""

import json
import os
import stat
from pathlib import Path
from typing import Any

__all__ = ["parse_json", "read_json", "read_text", "within_depth"]

# Choices of this library: a record of a very long run has some megabytes, and nests ten levels deep.
_MOST = 256 << 20  # bytes
_DEEPEST = 200


def read_json(path: Path) -> Any:
    """What a file holds.

    Raises:
        OSError: it cannot be read, or is a pipe or device.
        ValueError: it is too long, no UTF-8, or no JSON that :func:`parse_json` takes.
    """
    return parse_json(read_text(path))


def read_text(path: Path, errors: str = "strict") -> str:
    """The text of a regular file of limited size; nothing waits for what a pipe may bring.

    Arguments:
        path: the file.
        errors: what to do with bytes that are no UTF-8, as ``bytes.decode`` takes it.

    Raises:
        OSError: it cannot be read, or is a pipe or device.
        ValueError: it is too long, or no UTF-8.
    """
    # Opening a pipe would wait for its other end; where there is no such flag there are no such pipes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError("it is no regular file")
        content = b"" if about.st_size > _MOST else file.read(_MOST + 1)
    if max(about.st_size, len(content)) > _MOST:
        raise ValueError(f"it has over {_MOST >> 20} MiB")
    return content.decode("utf-8", errors)


def parse_json(text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError: no JSON, a name twice in one object, a whole number of thousands of digits, or a very deep nesting.

    Example:
        >>> parse_json('{"ranks": [2, 3]}')
        {'ranks': [2, 3]}
        >>> parse_json('{"rank": 2, "rank": 3}')
        Traceback (most recent call last):
        ...
        ValueError: 'rank' is there twice
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"it nests over {_DEEPEST} levels deep") from None
    if not within_depth(value):
        raise ValueError(f"it nests over {_DEEPEST} levels deep")
    return value


def within_depth(value: Any) -> bool:
    """Whether lists and objects nest no deeper than :func:`parse_json` takes."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, list | dict)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValueError(f"{twice[:60]!r} is there twice")
    return found

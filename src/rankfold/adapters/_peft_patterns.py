"""Names of layers as PEFT writes them in its patterns: regular expressions, of which only harmless ones are taken.

Python's engine goes back and forth without end on expressions that repeat what repeats, and a folder may hold any.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["matched", "reason_to_refuse"]

# A letter, an escaped sign, digits or word letters, any letter, or one of several; and words to choose from.
_ITEM = r"(?:[\w\-/: ]|\\[.\-_/:dw]|\.|\[[\w\-]+\])"
_CHOICE = r"\((?:\?:)?[\w.|\\\-]*\)"
_PATTERN = re.compile(rf"\^?(?:{_CHOICE}|{_ITEM}[*+?]?)*\$?", re.ASCII)
# With these a comparison takes no more steps than the square of a name's length, for each dot in it.
_LONGEST, _REPEATS, _CHOICES, _REPEATING = 500, 2, 1, 32


def reason_to_refuse(patterns: Mapping[str, Any]) -> str | None:
    """Why the keys of a pattern are not compared with names, or None."""
    repeating = 0
    for key in patterns:
        repeats = sum(key.count(sign) for sign in "*+?") - key.count("(?:")
        repeating += repeats > 0
        if (
            len(key) > _LONGEST
            or repeats > _REPEATS
            or key.count("(") > _CHOICES
            or not _PATTERN.fullmatch(key)
            or not _compiles(key)
        ):
            return f"{key[:60]!r} is more than a name with two repetitions and one choice"
    return f"over {_REPEATING} names of it have repetitions" if repeating > _REPEATING else None


def matched(patterns: Mapping[str, Any], name: str, usual: Any) -> Any:
    """The value of the first key that is the end of a name, as PEFT reads its patterns."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)), usual)


def _compiles(key: str) -> bool:
    try:
        re.compile(key)
    except re.error:
        return False
    return True

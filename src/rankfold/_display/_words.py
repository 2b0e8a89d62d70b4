"""Names from outside as text that cannot reorder, hide or break the page around it."""

import shlex

from rankfold._visible import one_line, visible

__all__ = ["AXIS_NAME", "NAME", "folded_command", "one_line", "shortened", "visible"]

#: Letters that fit below a chart.
AXIS_NAME = 44
#: Letters of a name in a table, longer than any in common networks.
NAME = 80
_COMMAND = 96  # letters of a line of a command that fit on a wide page


def shortened(text: str, most: int) -> str:
    """A long name made short, for places where it cannot wrap.

    Words between dots become letters, the first ones first and numbers never, for it is the numbers that tell layers
    apart; if that is not enough the middle is left out.

    Arguments:
        text: the name.
        most: characters allowed, at least 3.

    Example:
        >>> shortened("encoder.layers.12.attention.out_proj", 17), shortened("fluorescence", 7)
        ('e.l.12.a.out_proj', 'flu…nce')
    """
    words = text.split(".")
    for place, word in enumerate(words[:-1]):
        if len(".".join(words)) > most and word and not any(letter.isdigit() for letter in word):
            words[place] = word[0]
    short = ".".join(words)
    if len(short) <= most:
        return short
    left = most // 2
    return f"{text[:left]}…{text[len(text) - (most - left - 1) :]}"


def folded_command(command: str) -> str:
    """A long command with a line for each flag, which a shell takes as one.

    A browser would break lines after the hyphens of a flag, so that it is not seen to be one.

    Arguments:
        command: words that ``shlex.split`` takes apart.

    Example:
        >>> print(folded_command("rankfold compress " + "a" * 75 + " --policy 'budget params=0.5'"))
        rankfold compress aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \\
            --policy 'budget params=0.5'
    """
    parts: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    whole = " ".join(map(shlex.join, parts))
    return whole if len(whole) <= _COMMAND else " \\\n    ".join(map(shlex.join, parts))

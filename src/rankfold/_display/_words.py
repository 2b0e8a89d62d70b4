"""Names from outside as text that cannot reorder, hide or break the page around it."""

import re
import shlex

__all__ = ["AXIS_NAME", "NAME", "folded_command", "one_line", "shortened", "visible"]

#: Letters that fit below a chart.
AXIS_NAME = 44
#: Letters of a name in a table, longer than any in common networks.
NAME = 80
_COMMAND = 96  # letters of a line of a command that fit on a wide page

# C0 and C1 controls except tab and newline, which HTML forbids and terminals obey; lone surrogates, which UTF-8 cannot
# hold; marks that reorder the text around them (Unicode Standard Annex 9); and what shows nothing at all, the code
# points with Default_Ignorable_Code_Point in Unicode 15, but for joiners and variation selectors, which shape letters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028\u2029\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)


def visible(text: str) -> str:
    """The text with characters that are not seen, or that reorder others, written as their numbers.

    Arguments:
        text: anything.

    Returns:
        Text that UTF-8 and HTML can hold; not escaped yet.

    Example:
        >>> visible("conv" + chr(0x202E) + "1")
        'conv[U+202E]1'
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def one_line(text: str) -> str:
    """What :func:`visible` gives, with tabs and ends of lines written as their numbers too.

    Example:
        >>> one_line("conv" + chr(10) + "1")
        'conv[U+000A]1'
    """
    return visible(text).replace("\t", "[U+0009]").replace("\n", "[U+000A]")


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

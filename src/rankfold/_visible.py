"""Text from outside in which everything can be seen: the lowest floor, for messages and displays alike."""

import re

__all__ = ["one_line", "visible"]

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

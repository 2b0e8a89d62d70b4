"""Scraps of SVG."""

from collections.abc import Iterable
from html import escape

from rankfold._display._words import visible

__all__ = ["element", "number", "path", "written"]


_DOT = "h1.6"  # as long as a line is wide


def number(value: float) -> str:
    """A length in pixels, to a tenth, as short as it can be written.

    Example:
        >>> number(12.04), number(0.5), number(-0.01)
        ('12', '.5', '0')
    """
    text = f"{value:.1f}"
    if text.endswith(".0"):
        text = text[:-2]
    text = text.removeprefix("0") if text.startswith("0.") else text
    return "0" if text in ("-0", "") else text


def written(text: str) -> str:
    """Text from anywhere, safe between tags and in attributes."""
    return escape(visible(text), quote=True)


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; underscores at the end of attributes fall away, others become hyphens.

    Arguments:
        name: of the element.
        content: SVG already.
        **attributes: escaped here; numbers are lengths.

    Example:
        >>> element("text", "a", class_="tick", x=1.0)
        '<text class="tick" x="1">a</text>'
    """
    parts = [name]
    for key, value in attributes.items():
        shown = written(value) if isinstance(value, str) else number(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    start = " ".join(parts)
    return f"<{start}>{content}</{name}>" if content else f"<{start}/>"


def path(points: Iterable[tuple[float, float] | None], *, steps: bool = False) -> str:
    """The ``d`` of a line; None is a gap. A point between two gaps becomes a dot.

    Arguments:
        points: places in pixels.
        steps: go across first, then up or down.

    Example:
        >>> path([(0, 1), (2, 3), None, (4, 5)])
        'M0 1L2 3M4 5h1.6'
    """
    parts: list[str] = []
    alone = False
    previous = None
    for point in points:
        if point is None:
            if alone:
                parts.append(_DOT)
            previous, alone = None, False
            continue
        x, y = number(point[0]), number(point[1])
        if previous is None:
            parts.append(f"M{x} {y}")
            alone = True
        else:
            parts.append(f"H{x}V{y}" if steps else f"L{x} {y}")
            alone = False
        previous = point
    if alone:
        parts.append(_DOT)
    return "".join(parts)

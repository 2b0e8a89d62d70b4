"""Pictures as small as words, drawn in the colour of the text around them."""

from math import isfinite, log10

from rankfold._display._svg import element, path
from rankfold._display._view import Bar, Curve
from rankfold._display._words import one_line

__all__ = ["drawn_bar", "drawn_curve"]

_LENGTH, _THICK = 60, 8  # pixels
_WIDTH, _HEIGHT = 96, 20
_EDGE = 2  # so that no line is cut
_POINTS = 48  # of a curve, one for two pixels
_LEAST = 0.1  # powers of ten from bottom to top, so that what hardly changes does not look as if it did


def drawn_bar(bar: Bar) -> str:
    """A bar on a faint one of full length; the number beside it says the same, so it is hidden from readers aloud.

    Example:
        >>> drawn_bar(Bar(0.5)).count("<path"), drawn_bar(Bar(None)).count("<path")
        (2, 1)
    """
    middle = _THICK / 2
    lines = element("path", d=path([(0, middle), (_LENGTH, middle)]), opacity=".2")
    if bar.share is not None and bar.share > 0:
        end = max(1.0, _LENGTH * min(bar.share, 1.0))
        lines += element("path", d=path([(0, middle), (end, middle)]), opacity=".6")
    return element(
        "svg",
        lines,
        width=_LENGTH,
        height=_THICK,
        stroke="currentColor",
        stroke_width=_THICK,
        aria_hidden="true",
    )


def drawn_curve(curve: Curve) -> str:
    """A line from the left to the right, largest value on top.

    Example:
        >>> 'd="M2 2L94 18"' in drawn_curve(Curve((10.0, 0.1), "from 10 to 0.1"))
        True
    """
    count = len(curve.values)
    chosen = sorted({round(at * (count - 1) / (_POINTS - 1)) for at in range(_POINTS)}) if count else []
    heights = [_height(curve.values[at]) for at in chosen]
    places = [float(at if curve.places is None else curve.places[at]) for at in chosen]
    known = [height for height in heights if height is not None]
    left, right = (places[0], places[-1]) if places else (0.0, 0.0)
    top, bottom = (max(known), min(known)) if known else (0.0, 0.0)
    spare = max(_LEAST - (top - bottom), 0.0) / 2
    top, bottom = top + spare, bottom - spare
    points = [
        None
        if height is None
        else (_along(place - left, right - left, _WIDTH), _along(top - height, top - bottom, _HEIGHT))
        for place, height in zip(places, heights, strict=True)
    ]
    line = element("path", d=path(points), fill="none", stroke="currentColor", stroke_width=1.5)
    # An attribute and no title: where pictures are taken out, as on GitHub, the words of a title stay behind.
    words = one_line(curve.words)
    return element("svg", line, width=_WIDTH, height=_HEIGHT, role="img", aria_label=words)


def _height(value: float) -> float | None:
    return log10(value) if isfinite(value) and value > 0 else None


def _along(distance: float, whole: float, size: int) -> float:
    """A place within the picture; in the middle where there is but one."""
    share = distance / whole if whole > 0 else 0.5
    return _EDGE + share * (size - 2 * _EDGE)

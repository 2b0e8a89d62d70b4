"""One look for all figures: colours that colour-blind readers can tell apart, and a marker for each."""

from typing import Any

__all__ = ["COLOURS", "HEAT", "line_style"]

# Okabe and Ito 2008, "Color universal design"; black last, and without the yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":", "-", "--", "-.")

# Even steps of lightness, also for colour-blind readers and in grey: Nuñez, Anderton and Renslow 2018, "Optimizing
# colormaps with consideration for color vision deficiency".
HEAT = "cividis"


def line_style(index: int, *, markers: bool = True) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number; keyword arguments of ``Axes.plot``.

    Arguments:
        index: 0 and up; seven lines can be told apart.
        markers: leave the marker out for curves of many points.

    Returns:
        A new dictionary.

    Example:
        >>> line_style(0)["color"]
        '#0072B2'
    """
    colour, dash, marker = (values[index % len(values)] for values in (COLOURS, _DASHES, _MARKERS))
    style = {"color": colour, "linestyle": dash, "linewidth": 1.5}
    return {**style, "marker": marker, "markersize": 4} if markers else style

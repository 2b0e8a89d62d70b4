"""Colours that colour-blind readers can tell apart, on light and on dark."""

__all__ = ["DARK", "DASHES", "HEAT", "LIGHT", "heat_colour"]

# Okabe and Ito 2008, "Color universal design"; black last, and without the yellow, which is faint on white.
LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# The same hues, the dark ones lightened until they stand out from the dark page at 4.5 to 1 or more (the ratio that
# the Web Content Accessibility Guidelines 2.2 ask of text); white instead of black.
DARK = ("#4FA8E0", "#F0803C", "#2FC79B", "#DE9CC2", "#E69F00", "#8CCBF2", "#F2F2F2")
#: Lengths of dashes and gaps of each line; empty is a whole line.
DASHES = ("", "6 3", "8 3 2 3", "2 3", "", "6 3", "8 3 2 3")

# The colour map cividis at nine even places: Nuñez, Anderton and Renslow 2018, "Optimizing colormaps with
# consideration for color vision deficiency".
_CIVIDIS = (
    "#00224e",
    "#1a386f",
    "#434e6c",
    "#61656f",
    "#7d7c78",
    "#9b9476",
    "#bcae6c",
    "#dec958",
    "#fee838",
)
#: Steps of the heat maps; as many as the eye tells apart on a small map (choice of this library).
HEAT = 24


def heat_colour(step: int) -> str:
    """The colour of a step of a heat map.

    Arguments:
        step: from 0 to ``HEAT - 1``.

    Example:
        >>> heat_colour(0), heat_colour(HEAT - 1)
        ('#00224e', '#fee838')
    """
    place = step / (HEAT - 1) * (len(_CIVIDIS) - 1)
    left = min(int(place), len(_CIVIDIS) - 2)
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in _CIVIDIS[left : left + 2]]
    return "#" + "".join(f"{round(a + (place - left) * (b - a)):02x}" for a, b in zip(*ends, strict=True))

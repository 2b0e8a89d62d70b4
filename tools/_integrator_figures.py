"""One cycle of each integrator in four panels: basis step, augmentation, core step, truncation."""

from tools._drawing import Drawing

__all__ = ["augmented_figure", "fixed_figure", "parallel_figure"]

# Pixels: the rank, the directions that join, the rank that is left of both, the sides of the weight, the drawing.
OLD, NEW, LEFT, LONG, HEIGHT = 18, 14, 24, 62, 332
PANELS = ((10, 6), (190, 6), (10, 172), (190, 172))  # upper left corners, in the order in which they are read


def _panel(drawing: Drawing, number: int, title: str, *words: str) -> tuple[float, float]:
    """Heading and lines of the caption; gives the corner for what is drawn between them."""
    x, y = PANELS[number]
    drawing.text(x, y + 12, f"{number + 1}  {title}", "bold")
    for line, text in enumerate(words):
        drawing.text(x, y + 120 + 15 * line, text, "soft")
    return x + 4, y + 24


def _weight(
    drawing: Drawing,
    corner: tuple[float, float],
    *,
    basis: str = "blue",
    new: str | None = None,
    core: tuple[str, ...] = ("green",),
    old: int = OLD,
) -> None:
    """Bases and core side by side.

    Arguments:
        basis, new: styles of the columns that were there and of those that join, if any do.
        core: styles of its four blocks: old by old, old by new, new by old, new by new; one alone is the old block.
        old: rank in pixels.
    """
    x, y = corner
    width = old + (NEW if new else 0)
    drawing.box(x, y, old, LONG, basis)
    s, v = x + width + 10, x + 2 * width + 20
    drawing.box(v, y, LONG, old, basis)
    if new:
        drawing.box(x + old, y, NEW, LONG, new)
        drawing.box(v, y + old, LONG, NEW, new)
    places = ((0, 0, old, old), (old, 0, NEW, old), (0, old, old, NEW), (old, old, NEW, NEW))
    for (right, down, across, along), style in zip(places, core, strict=False):
        drawing.box(s + right, y + down, across, along, style)
    for place, name in ((x + width / 2, "U"), (s + width / 2, "S"), (v + LONG / 2, "Vᵀ")):
        below = y + (LONG if name == "U" else width)
        drawing.text(place, below + 14, name, "middle")


def augmented_figure() -> Drawing:
    """The integrator that asks for gradients twice."""
    drawing = Drawing("The augmented integrator: widen, train the whole wider core, truncate", HEIGHT)
    corner = _panel(drawing, 0, "Basis step", "a gradient shows", "directions that the", "bases do not have")
    _weight(drawing, corner, new="empty")
    corner = _panel(
        drawing, 1, "Augmentation", "they join, with zeros", "in the core: the weight", "stays as it is"
    )
    _weight(drawing, corner, new="orange", core=("green", "empty", "empty", "empty"))
    corner = _panel(
        drawing, 2, "Core step", "the whole core trains,", "by gradients taken in", "the wider bases"
    )
    _weight(drawing, corner, new="orange", core=("green",) * 4)
    corner = _panel(
        drawing, 3, "Truncation", "what is below the", "tolerance goes; the", "rank is what is left"
    )
    _weight(drawing, corner, old=LEFT)
    return drawing


def parallel_figure() -> Drawing:
    """The integrator that asks once."""
    drawing = Drawing("The parallel integrator: bases and core from one gradient, then truncation", HEIGHT)
    corner = _panel(
        drawing, 0, "Basis step", "one gradient for all:", "directions, and what", "the core does next"
    )
    _weight(drawing, corner, new="empty")
    corner = _panel(drawing, 1, "Augmentation", "they join, with zeros", "in the core")
    _weight(drawing, corner, new="orange", core=("green", "empty", "empty", "empty"))
    corner = _panel(
        drawing, 2, "Core step", "of new by new that one", "gradient says nothing:", "it stays zero"
    )
    _weight(drawing, corner, new="orange", core=("green", "green", "green", "empty"))
    corner = _panel(drawing, 3, "Truncation", "as there, at a smaller", "tolerance")
    _weight(drawing, corner, old=LEFT)
    return drawing


def fixed_figure() -> Drawing:
    """The integrator that keeps the ranks."""
    drawing = Drawing("The fixed integrator: turn the bases, train the core in them", HEIGHT)
    corner = _panel(drawing, 0, "Basis step", "each basis takes a step", "along its gradient")
    _weight(drawing, corner)
    corner = _panel(drawing, 1, "No augmentation", "the turned bases take", "the place of the old")
    _weight(drawing, corner, basis="orange")
    corner = _panel(drawing, 2, "Core step", "the core, seen in the", "new bases, trains")
    _weight(drawing, corner, basis="orange")
    corner = _panel(drawing, 3, "No truncation", "the ranks are what", "they were")
    _weight(drawing, corner)
    return drawing

"""The figure of a run, as PNG and SVG."""

from pathlib import Path

from rankfold._checkpoint import atomic_path
from rankfold.studies._records import Records
from rankfold.studies._study import Study

__all__ = ["draw_study"]

_DOTS_PER_INCH = 120


def draw_study(study: Study, records: Records, folder: Path) -> str | None:
    """Write ``figure.png`` and ``figure.svg``; the same records give the same files.

    Arguments:
        study: the study.
        records: of a run of it, perhaps partial.
        folder: exists.

    Returns:
        None, or the sentence why nothing was drawn.
    """
    if not records.rows:
        return "no figure: there are no records yet."
    try:
        # Figures only: pyplot would look for a display.
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return "no figure: matplotlib is not installed; pip install 'rankfold[cli]'."
    # Without a salt of its own matplotlib names the parts of an SVG anew every time.
    with matplotlib.rc_context({"svg.hashsalt": study.name, "font.size": 9, "axes.titlesize": 9}):
        figure = Figure(layout="constrained")
        study.plot(records, figure)
        with atomic_path(folder / "figure.png") as file:
            figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        with atomic_path(folder / "figure.svg") as file:
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return None

"""Figures of a decomposition, with matplotlib where it is installed."""

from pathlib import Path
from typing import Any

from rankfold.decompose import CPDecomposition, Decomposition
from rankfold.formats import CP, Tucker

__all__ = ["draw_decomposition"]

_COMPONENTS = 12  # columns that are drawn; more cannot be told apart
_MARKED = 40  # indices up to which points are marked
_DOTS_PER_INCH = 120


def draw_decomposition(result: Decomposition, folder: Path) -> str | None:
    """Write ``components.png`` (CP, Tucker) and, where ranks were tried, ``rank_path.png``.

    Arguments:
        result: of any format.
        folder: exists.

    Returns:
        None, or the sentence that matplotlib is missing and nothing was drawn.
    """
    try:
        # Figures only: pyplot would look for a display.
        from matplotlib.figure import Figure
    except ImportError:
        return "no figures: matplotlib is not installed; pip install 'rankfold[cli]'."
    if isinstance(result.tensor, CP | Tucker) and any(factor is not None for factor in result.tensor.factors):
        _components(Figure, result).savefig(folder / "components.png", dpi=_DOTS_PER_INCH)
    if isinstance(result, CPDecomposition) and result.rank_path:
        _rank_path(Figure, result).savefig(folder / "rank_path.png", dpi=_DOTS_PER_INCH)
    return None


def _components(figure_class: Any, result: Decomposition) -> Any:
    """One panel per mode, one line per column."""
    factors = [(mode, factor) for mode, factor in enumerate(result.tensor.factors) if factor is not None]
    figure = figure_class(figsize=(7, 0.6 + 2 * len(factors)), layout="constrained")
    for row, (mode, factor) in enumerate(factors):
        axes = figure.add_subplot(len(factors), 1, row + 1)
        columns = factor.detach().cpu().double()
        for column in range(min(columns.shape[1], _COMPONENTS)):
            mark = "." if columns.shape[0] <= _MARKED else ""
            axes.plot(columns[:, column].tolist(), marker=mark, linewidth=1, label=str(column + 1))
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set_ylabel(f"mode {mode}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if row == 0 and columns.shape[1]:
            axes.legend(title="component", ncols=6, fontsize="small", loc="best")
    figure.axes[-1].set_xlabel("index")
    shown = max(factor.shape[1] for _, factor in factors)
    more = f", first {_COMPONENTS} of {shown} components" if shown > _COMPONENTS else ""
    figure.suptitle(f"relative error {result.relative_error:.4g}{more}")
    return figure


def _rank_path(figure_class: Any, result: CPDecomposition) -> Any:
    figure = figure_class(figsize=(6, 4), layout="constrained")
    ranks = [step.rank for step in result.rank_path]
    for place, (name, values) in enumerate(
        (
            ("relative error", [step.relative_error for step in result.rank_path]),
            ("BIC", [step.bic for step in result.rank_path]),
        )
    ):
        axes = figure.add_subplot(2, 1, place + 1)
        axes.plot(ranks, values, marker="o", linewidth=1)
        axes.axvline(result.rank, color="0.7", linestyle="--", linewidth=1)
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[-1].set_xlabel("rank")
    figure.suptitle(f"rank {result.rank}")
    return figure

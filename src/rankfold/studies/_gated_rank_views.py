"""Tables and figure of the study of gates on ranks, also of runs that are not complete."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean
from typing import TYPE_CHECKING, Any

from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table
from rankfold.studies._summaries import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["at_equal_size", "plot", "tables"]

_TITLES = {"dense": "the matrix", "tt": "two factors", "cp": "CP", "tucker": "Tucker"}
_ERRORS = (0.07, 0.1, 0.2, 0.4, 0.8)  # ticks


def at_equal_size(fixed: Sequence[Record], row: Record) -> float:
    """Accuracy above that of fixed ranks, whose means are joined by lines over the number of parameters.

    Beyond the last fixed rank its own accuracy is taken.
    """
    sizes = sorted({other["parameters"] for other in fixed})
    points = [
        (size, mean_of([other for other in fixed if other["parameters"] == size], "accuracy"))
        for size in sizes
    ]
    wanted = min(max(row["parameters"], sizes[0]), sizes[-1])
    if len(points) == 1:
        return row["accuracy"] - points[0][1]
    (low, first), (high, second) = next(
        pair for pair in pairwise(points) if pair[0][0] <= wanted <= pair[1][0]
    )
    return row["accuracy"] - (first + (second - first) * (wanted - low) / (high - low))


def tables(records: Records) -> list[Table]:
    """Noisy matrices by format, depth and strength; what one SVD gives; networks.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    return [
        Table("A noisy matrix of rank 2", _matrices(records)),
        Table("The same without training", _without(records)),
        Table("Networks on digits", _networks(records)),
    ]


def _matrices(records: Records) -> list[dict[str, Any]]:
    groups: dict[tuple[str, int, float], list[Record]] = {}
    for row in records.found(part="matrix"):
        groups.setdefault((row["form"], row["depth"], row["strength"]), []).append(row)
    return [
        {
            "form": _TITLES[form],
            "D": depth,
            "strength": strength,
            "ranks": ", ".join(str(row["rank"]) for row in rows),
            "error": mean_of(rows, "error"),
            "steps": rows[0]["steps"],
        }
        for (form, depth, strength), rows in groups.items()
    ]


def _without(records: Records) -> list[dict[str, Any]]:
    rows = records.found(part="without training")
    names = {
        "unchanged": "the noisy matrix itself",
        "soft threshold": "best soft threshold of singular values",
        "evbmf": "SVD cut at the rank of EVBMF",
        "true rank": "SVD cut at the true rank",
    }
    if not rows:
        return []
    return [
        {
            "method": title,
            "mean error": mean_of(rows, name),
            "ranks": ", ".join(str(row["evbmf rank"]) for row in rows) if name == "evbmf" else None,
        }
        for name, title in names.items()
    ]


def _networks(records: Records) -> list[dict[str, Any]]:
    fixed = records.found(part="network", depth=None)
    groups: dict[tuple[Any, float, int], list[Record]] = {}
    for row in records.found(part="network"):
        groups.setdefault((row["depth"], row["strength"], row["rank"]), []).append(row)
    return [
        {
            "ranks": "fixed" if depth is None else f"gated, D = {depth}",
            "strength": None if depth is None else strength,
            "ranks left, seed by seed": "; ".join("x".join(map(str, row["ranks"])) for row in rows),
            "parameters": mean_of(rows, "parameters"),
            "accuracy %": mean_of(rows, "accuracy"),
            "above fixed ranks": None
            if depth is None or not fixed
            else mean(at_equal_size(fixed, row) for row in rows),
        }
        for (depth, strength, _), rows in groups.items()
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Ranks and errors over the strength by format and depth; accuracy of networks over their parameters."""
    figure.set_size_inches(10, 3.6)
    ranks, errors, networks = figure.subplots(1, 3)
    lines = list(dict.fromkeys((row["form"], row["depth"]) for row in records.found(part="matrix")))
    for number, (form, depth) in enumerate(lines):
        rows = records.found(part="matrix", form=form, depth=depth)
        strengths = sorted({row["strength"] for row in rows})
        label = f"{_TITLES[form]}, D = {depth}"
        for axes, name in ((ranks, "rank"), (errors, "error")):
            means = [mean_of([row for row in rows if row["strength"] == s], name) for s in strengths]
            axes.plot(strengths, means, label=label, **line_style(number))
    ranks.axhline(2, color="0.5", linewidth=0.8)
    untrained = records.found(part="without training")
    if untrained:
        errors.axhline(
            mean_of(untrained, "true rank"), color="0.5", linewidth=0.8, label="SVD at the true rank"
        )
    ranks.set(xlabel="strength of the penalty", ylabel="mean rank left", xscale="log")
    errors.set(
        xlabel="strength of the penalty",
        ylabel="mean error to the clean matrix",
        xscale="log",
        yscale="log",
    )
    strengths = sorted({row["strength"] for row in records.found(part="matrix")})
    for axes in (ranks, errors):
        axes.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
        axes.set_xticks([], minor=True)
    errors.set_yticks(_ERRORS, [f"{error:g}" for error in _ERRORS])
    errors.set_yticks([], minor=True)
    if lines:
        errors.legend(fontsize=6)
    _plot_networks(records, networks)


def _plot_networks(records: Records, axes: "Axes") -> None:
    rows = records.found(part="network")
    for number, depth in enumerate(dict.fromkeys(row["depth"] for row in rows)):
        found = sorted((row for row in rows if row["depth"] == depth), key=lambda row: row["parameters"])
        points = [(row["parameters"], row["accuracy"]) for row in found]
        style = {**line_style(number), "linestyle": "none"}
        if depth is None:
            sizes = sorted({size for size, _ in points})
            points = [(size, mean(value for other, value in points if other == size)) for size in sizes]
            style = line_style(number)
        label = "fixed ranks, means" if depth is None else f"gated, D = {depth}"
        axes.plot([size for size, _ in points], [value for _, value in points], label=label, **style)
    axes.set(xlabel="parameters of the two matrices", ylabel="test accuracy on digits, percent")
    if rows:
        axes.legend(fontsize=7)

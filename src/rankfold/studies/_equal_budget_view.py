"""Tables and figure of the study of equal budgets, also of runs that are not complete."""

from typing import TYPE_CHECKING, Any

from rankfold.studies._compression_networks import NETWORKS
from rankfold.studies._compression_points import Point, points
from rankfold.studies._equal_budget_methods import BUDGET_METHODS
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "tables"]


def tables(records: Records) -> list[Table]:
    """One table for each network and budget, the most accurate method first.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    made = []
    for network in _networks(records):
        found = points(records.found(network=network))
        dense = [point for point in found if point.method == "dense"]
        for share in sorted({point.point for point in found if point.method != "dense"}, reverse=True):
            rows = [point for point in found if point.method != "dense" and point.point == share]
            best_first = sorted(rows, key=lambda point: -point.accuracy)
            title = f"{NETWORKS[network].title} at {100 * share:g} % of the parameters"
            made.append(Table(title, [_row(point) for point in [*best_first, *dense]]))
    return made


def _networks(records: Records) -> list[str]:
    return list(dict.fromkeys(case["network"] for case in records.cases))


def _row(point: Point) -> dict[str, Any]:
    return {
        "method": BUDGET_METHODS[point.method].title,
        "parameters (%)": round(100 - point.compression, 2),
        "accuracy (%)": round(point.accuracy, 2),
        "deviation over seeds": round(point.deviation, 2) if point.seeds > 1 else None,
        "learning rate": point.learning_rate,
        "weight decay": point.weight_decay,
        "seconds": round(point.seconds, 1),
        "diverged": f"{point.diverged} of {point.seeds}",
    }


def plot(records: Records, figure: "Figure") -> None:
    """Accuracy of every method over the share of the parameters, a panel for each network.

    Arguments:
        records: perhaps partial.
        figure: empty.
    """
    networks = _networks(records)
    figure.set_size_inches(max(8.0, 4.4 * len(networks)), 4.2)
    panels = list(figure.subplots(1, len(networks), squeeze=False)[0]) if networks else []
    for network, axes in zip(networks, panels, strict=True):
        found = points(records.found(network=network))
        _draw(axes, found)
        shares = sorted({100 * point.point for point in found if point.method != "dense"})
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.set_xticks([], minor=True)
        if shares:
            axes.set_xlim(1.3 * shares[-1], shares[0] / 1.3)
        axes.set(title=NETWORKS[network].title, xlabel="parameters kept (%)", ylabel="test accuracy (%)")
    if panels:
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=4)


def _draw(axes: "Axes", found: list[Point]) -> None:
    """Methods side by side at each budget, so that bars of deviation do not hide each other."""
    for number, (name, method) in enumerate(BUDGET_METHODS.items()):
        line = [point for point in found if point.method == name]
        if line and name == "dense":
            axes.axhline(line[0].accuracy, color="0.5", linewidth=1.0, label=method.title)
        elif line:
            axes.errorbar(
                [100 * point.point * 1.03 ** (number - 2.5) for point in line],
                [point.accuracy for point in line],
                yerr=[point.deviation for point in line],
                label=method.title,
                capsize=2,
                **line_style(number),
            )

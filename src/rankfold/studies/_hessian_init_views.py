"""Tables and figure of the study of calibrated starts, also of runs that are not complete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._hessian_init_training import STARTS
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table
from rankfold.studies._summaries import at_best, mean_of, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["best", "plot", "tables", "usable_rates"]

_NEAR = 2.0  # points below the best rate of a start
_LEARNED = 80.0  # percent

Ask = Callable[..., list[Record]]


def best(ask: Ask, layers: int, start: str) -> list[Record]:
    """The runs of a start at a depth, at the learning rate that does best on held-out images.

    Arguments:
        ask: ``records.where`` for checks, ``records.found`` for what may be partial.
        layers: number of layers.
        start: its name.
    """
    return at_best(ask(part="training", layers=layers, start=start), "rate", "held out")


def usable_rates(ask: Ask, layers: int, start: str) -> list[float]:
    """The learning rates whose mean test accuracy is near the best of the start and not low."""
    means = _by_rate(ask(part="training", layers=layers, start=start))
    limit = max(_LEARNED, max(means.values(), default=0.0) - _NEAR)
    return [rate for rate, value in means.items() if value >= limit]


def _by_rate(rows: list[Record]) -> dict[float, float]:
    rates = sorted({row["rate"] for row in rows})
    return {rate: mean_of([row for row in rows if row["rate"] == rate], "test") for rate in rates}


def tables(records: Records) -> list[Table]:
    """Trainings at the best rate and at every rate, norms over depth and scale.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    return [
        Table("Deep ReLU networks on digits, each start at its best learning rate", _trained(records)),
        Table("Mean test accuracy in percent by learning rate", _rates(records)),
        Table(
            "Largest spectral norm of a block of the Hessian by scale, times He's deviation", _norms(records)
        ),
    ]


def _depths(records: Records) -> list[int]:
    return list(dict.fromkeys(row["layers"] for row in records.found(part="training")))


def _trained(records: Records) -> list[dict[str, Any]]:
    lines = []
    for layers in _depths(records):
        for start, (title, _, goal) in STARTS.items():
            rows = best(records.found, layers, start)
            if not rows:
                continue
            line: dict[str, Any] = {
                "layers": layers,
                "start": title,
                "rate": rows[0]["rate"],
                "test %": mean_of(rows, "test"),
                "standard error": standard_error([row["test"] for row in rows]),
                "rates that serve": len(usable_rates(records.found, layers, start)),
            }
            made = [row for row in rows if goal is not None and not row["refused"]]
            if made:
                line |= {
                    "largest / least block before": max(row["before"][0] / row["before"][1] for row in made),
                    "after": max(row["after"][0] / row["after"][1] for row in made),
                }
            if goal is not None:
                line["calibrated"] = f"{len(made)} of {len(rows)}"
            lines.append(line)
    return lines


def _rates(records: Records) -> list[dict[str, Any]]:
    return [
        {"layers": layers, "start": title} | {f"{rate:g}": value for rate, value in _by_rate(rows).items()}
        for layers in _depths(records)
        for start, (title, _, _) in STARTS.items()
        if (rows := records.found(part="training", layers=layers, start=start))
    ]


def _norms(records: Records) -> list[dict[str, Any]]:
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for row in records.found(part="sweep"):
        key = (row["loss"], row["layers"])
        line = lines.setdefault(key, {"loss": row["loss"], "layers": row["layers"]})
        line[f"x {row['scale']:g}"] = row["norm"]
    return list(lines.values())


def plot(records: Records, figure: "Figure") -> None:
    """Norms over the scale by depth; accuracy over the learning rate by start, a panel for each depth."""
    depths = _depths(records)
    figure.set_size_inches(10.5, 3.6)
    norms, *panels = figure.subplots(1, 1 + max(len(depths), 1))
    keys = list(dict.fromkeys((row["loss"], row["layers"]) for row in records.found(part="sweep")))
    numbers = {layers: number for number, layers in enumerate(dict.fromkeys(layers for _, layers in keys))}
    for loss, layers in keys:
        rows = records.found(part="sweep", loss=loss, layers=layers)
        style = {**line_style(numbers[layers]), "linestyle": "-" if loss == "squared" else "--"}
        label = f"{layers} layers, {loss}"
        norms.plot([row["scale"] for row in rows], [row["norm"] for row in rows], label=label, **style)
    norms.set(
        xlabel="scale of the weights, times He's",
        ylabel="largest norm of a block of the Hessian",
        xscale="log",
        yscale="log",
    )
    norms.set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
    norms.set_xticks([], minor=True)
    if keys:
        norms.legend(fontsize=6)
    for layers, axes in zip(depths, panels, strict=False):
        _plot_rates(records, layers, axes)
    if not depths:
        panels[0].set(xlabel="learning rate", ylabel="mean test accuracy on digits, percent")


def _plot_rates(records: Records, layers: int, axes: "Axes") -> None:
    for number, (start, (title, _, _)) in enumerate(STARTS.items()):
        means = _by_rate(records.found(part="training", layers=layers, start=start))
        if means:
            axes.plot(list(means), list(means.values()), label=title, **line_style(number))
    axes.set(
        xlabel=f"learning rate, {layers} layers",
        ylabel="mean test accuracy on digits, percent",
        xscale="log",
    )
    rates = sorted({row["rate"] for row in records.found(part="training", layers=layers)})
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.set_xticks([], minor=True)
    axes.legend(fontsize=6)

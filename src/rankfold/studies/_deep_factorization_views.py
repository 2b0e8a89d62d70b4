"""Tables and figure of the study of deep weight factorisation, also of runs that are not complete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._deep_factorization_training import METHODS, RATIOS
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table
from rankfold.studies._summaries import at_best, mean_of, standard_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["at_ratio", "plot", "tables"]


def at_ratio(ask: Callable[..., list[Record]], method: str, ratio: int) -> list[Record]:
    """The runs of a method for a ratio, at the learning rate and strength that do best there on held-out images.

    Arguments:
        ask: ``records.where`` for checks, ``records.found`` for what may be partial.
        method: its name.
        ratio: of all weights to those kept.
    """
    named = {"ratio": ratio} if METHODS[method].gradual else {}
    rows = ask(lambda case: not _short(case), part="training", method=method, **named)
    return at_best(rows, "recipe", f"held out at {ratio}")


def _short(case: Any) -> bool:
    """The trainings without a penalty that are about the start."""
    return case["part"] == "training" and case["method"] == "3" and case["recipe"][1] == 0


def tables(records: Records) -> list[Table]:
    """Accuracy by ratio and method, every setting, starts, the lasso.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    return [
        Table("Test accuracy in percent with 1/ratio of the weights, at the best setting", _curves(records)),
        Table("Every setting", _strengths(records)),
        Table(
            "Starts: deviations of products for a wanted one of 0.0816, and shares below 1e-3",
            [
                {"D": row["depth"]}
                | {
                    name: row[name]
                    for name in ("matched", "truncated", "naive", "matched dead", "truncated dead")
                }
                for row in records.found(part="start")
            ],
        ),
        Table(
            "D = 2 beside scikit-learn's lasso",
            [
                {name: value for name, value in row.items() if name != "part"}
                for row in records.found(part="lasso")
            ],
        ),
    ]


def _curves(records: Records) -> list[dict[str, Any]]:
    lines = []
    for name, method in METHODS.items():
        line: dict[str, Any] = {"method": method.title}
        for ratio in RATIOS:
            rows = at_ratio(records.found, name, ratio)
            if rows:
                values = [row[f"test at {ratio}"] for row in rows]
                error = f" ± {standard_error(values):.1f}" if len(values) > 1 else ""
                line[f"{ratio}x"] = f"{sum(values) / len(values):.1f}{error}"
        if len(line) > 1:
            lines.append(line)
    return lines


def _strengths(records: Records) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in records.found(part="training"):
        key = (row["method"], *row["recipe"], row["ratio"], row["start"])
        groups.setdefault(key, []).append(row)
    return [
        {
            "method": METHODS[method].title,
            "rate": rate,
            "strength": strength,
            "pruned to": None if ratio is None else f"1/{ratio}",
            "start": start,
            "whole %": mean_of(rows, "test"),
            "ratio at 0.01": mean_of(rows, "ratio at threshold"),
            "there %": mean_of(rows, "test at threshold"),
        }
        | {f"{ratio}x": mean_of(rows, f"test at {ratio}") for ratio in RATIOS}
        for (method, rate, strength, ratio, start), rows in groups.items()
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Accuracy over the ratio for every method; accuracy and ratio at one threshold for every setting."""
    figure.set_size_inches(9, 3.8)
    curves, thresholds = figure.subplots(1, 2)
    for number, (name, method) in enumerate(METHODS.items()):
        found = [(ratio, rows) for ratio in RATIOS if (rows := at_ratio(records.found, name, ratio))]
        if found:
            curves.errorbar(
                [ratio for ratio, _ in found],
                [mean_of(rows, f"test at {ratio}") for ratio, rows in found],
                yerr=[standard_error([row[f"test at {ratio}"] for row in rows]) for ratio, rows in found],
                label=method.title,
                capsize=2,
                **line_style(number),
            )
        rows = records.found(lambda case: not _short(case), part="training", method=name)
        if rows:
            thresholds.plot(
                [row["ratio at threshold"] for row in rows],
                [row["test at threshold"] for row in rows],
                label=method.title,
                **{**line_style(number), "linestyle": "none"},
            )
    curves.set(xlabel="weights per weight kept, the largest", ylabel="test accuracy on digits, percent")
    thresholds.set(
        xlabel="weights per weight of 0.01 or more, a point a run",
        ylabel="test accuracy with those only, percent",
    )
    for axes, ticks in ((curves, RATIOS), (thresholds, (1, *RATIOS[::2], 1000, 10000))):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
        axes.set_xticks([], minor=True)
    if records.found(part="training"):
        curves.legend(fontsize=7)

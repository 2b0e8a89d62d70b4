"""Tables and figure of the study of spectral initialisation, also of runs that are not complete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table
from rankfold.studies._summaries import at_best, mean_of, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["best", "plot", "tables"]

_TITLES = {
    "default": "default",
    "spectral": "spectral start",
    "frobenius": "Frobenius decay",
    "both": "both",
    "dense": "dense",
}
_NAMES = {"images": "size", "digits": "rank"}


def best(ask: Callable[..., list[Record]], part: str, method: str, setting: float) -> list[Record]:
    """The runs of a method at one size or rank, at the recipe that does best on held-out images.

    Arguments:
        ask: ``records.where`` for checks, ``records.found`` for what may be partial.
        part: ``'images'`` or ``'digits'``.
        method: its name.
        setting: the size or the rank.
    """
    rows = ask(part=part, method=method, **{_NAMES[part]: setting})
    return at_best(rows, "recipe", "held out")


def tables(records: Records) -> list[Table]:
    """Images and digits at the best recipe, every recipe, and what is exact.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    return [
        Table("Small VGG on Fashion-MNIST, each at its best recipe", _trained(records, "images")),
        Table("Three hidden layers on digits, each at its best recipe", _trained(records, "digits")),
        Table("Small VGG, every recipe", _recipes(records)),
        Table(
            "Convolutions in separable form: relative errors",
            [
                {
                    "convolution": row["convolution"],
                    **{name: value for name, value in row.items() if name not in _CASE},
                }
                for row in records.found(part="kernel")
            ],
        ),
        Table(
            "Starts of rank 4 and gradients of the decay",
            [
                {"form": row["form"], **{name: value for name, value in row.items() if name not in _CASE}}
                for row in records.found(part="factors")
            ],
        ),
    ]


_CASE = ("part", "seed", "form", "convolution")


def _settings(records: Records, part: str) -> list[tuple[str, float]]:
    return list(
        dict.fromkeys((case["method"], case[_NAMES[part]]) for case in records.cases if case["part"] == part)
    )


def _trained(records: Records, part: str) -> list[dict[str, Any]]:
    lines = []
    for method, setting in _settings(records, part):
        rows = best(records.found, part, method, setting)
        if not rows:
            continue
        line: dict[str, Any] = {_NAMES[part]: setting, "method": _TITLES[method]}
        if part == "images":
            line["parameters kept %"] = rows[0]["kept %"]
        line |= {
            "rate, decay": ", ".join(f"{value:g}" for value in rows[0]["recipe"]),
            "seeds": len(rows),
            "held out %": mean_of(rows, "held out"),
            "test %": mean_of(rows, "test"),
            "standard error": standard_error([row["test"] for row in rows]),
        }
        lines.append(line)
    return lines


def _recipes(records: Records) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in records.found(part="images"):
        groups.setdefault((row["size"], row["method"], *row["recipe"]), []).append(row)
    return [
        {
            "size": size,
            "method": _TITLES[method],
            "rate": rate,
            "decay": decay,
            "held out %": mean_of(rows, "held out"),
            "test %": mean_of(rows, "test"),
        }
        for (size, method, rate, decay), rows in groups.items()
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Test accuracy by method, a point a seed, for images by size and for digits by rank."""
    figure.set_size_inches(9, 3.8)
    left, right = figure.subplots(1, 2)
    _points(records, "images", left)
    _points(records, "digits", right)
    left.set(xlabel="test accuracy on Fashion-MNIST, percent", ylabel="how factors start and decay")
    right.set(xlabel="test accuracy on digits, percent", ylabel="how factors start and decay")


def _points(records: Records, part: str, axes: "Axes") -> None:
    methods = list(_TITLES)
    groups: dict[float, list[tuple[float, int]]] = {}
    for method, setting in _settings(records, part):
        for row in best(records.found, part, method, setting):
            groups.setdefault(setting, []).append((row["test"], methods.index(method)))
    for number, (setting, points) in enumerate(groups.items()):
        label = f"{_NAMES[part]} {setting:g}" if points[0][1] < len(methods) - 1 else "dense"
        style = {**line_style(number), "linestyle": "none", "alpha": 0.7}
        axes.plot(
            [value for value, _ in points],
            [place + 0.12 * number for _, place in points],
            label=label,
            **style,
        )
    axes.set_yticks(range(len(methods)), labels=list(_TITLES.values()))
    axes.set_ylim(len(methods) - 0.4, -0.6)
    if groups:
        axes.legend(fontsize=7)

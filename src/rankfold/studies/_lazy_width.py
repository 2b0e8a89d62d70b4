"""A fixed product of two deviations and a varied ratio: from lazy training to one that moves its features."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._lazy_width_runs import train_shallow
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LAZY_WIDTH"]

_HE, _RICH = 1, 3  # ratios that are compared


def _cases(parameters: Parameters) -> list[Case]:
    size = {name: parameters[name] for name in ("images", "neurons", "steps")}
    seeds = range(parameters["seed"], parameters["seed"] + parameters["seeds"])
    return [
        {"ratio": ratio, "frozen": frozen, **size, "seed": seed}
        for frozen in (False, True)
        for ratio in parameters["ratios"]
        for seed in seeds
    ]


def _last(rows: Sequence[Record], name: str) -> list[float]:
    return [row["curve"][-1][name] for row in rows]


def _ratios(records: Records) -> list[float]:
    return sorted({case["ratio"] for case in records.cases})


def _least_growth(records: Records) -> float:
    """The least factor by which the movement of W grows from one ratio to the next, over seeds."""
    moved = [_last(records.where(ratio=ratio, frozen=False), "movement") for ratio in _ratios(records)]
    return min(
        more / less for before, after in pairwise(moved) for less, more in zip(before, after, strict=True)
    )


def _gains(records: Records, one: float, two: float, *, frozen: bool = False) -> list[float]:
    """Test accuracy at one ratio above that at another, seed by seed."""
    tested = [_last(records.where(ratio=ratio, frozen=frozen), "test") for ratio in (one, two)]
    return [a - b for a, b in zip(*tested, strict=True)]


def _less_error(values: Sequence[float]) -> float:
    """The mean less its standard error."""
    return mean(values) - (stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0)


def _lazy_is_worst(records: Records) -> float:
    return _less_error(_gains(records, _HE, min(_ratios(records))))


def _by_moving(records: Records) -> float:
    """The gain of the rich start with W trained above the gain with W frozen."""
    moved, kept = (_gains(records, _RICH, _HE, frozen=frozen) for frozen in (False, True))
    return _less_error([a - b for a, b in zip(moved, kept, strict=True)])


def _lazy_difference(records: Records) -> float:
    """At the laziest ratio, how much the test accuracy differs by training W, in the mean."""
    lazy = min(_ratios(records))
    moved, kept = (_last(records.where(ratio=lazy, frozen=frozen), "test") for frozen in (False, True))
    return abs(mean(moved) - mean(kept))


_CHECKS = (
    Check(
        name="PL last layer",
        statement=(
            "the squared gradient of the last layer is at least pl_constant times the squared residual: least ratio"
        ),
        measure=lambda records: min(row["last layer"] for row in records.where(frozen=False)),
        least=1 - 1e-6,  # gradients are in float32
    ),
    Check(
        name="PL whole",
        statement="so is the whole gradient, at every step that was looked at: least ratio",
        measure=lambda records: min(row["whole"] for row in records.where(frozen=False)),
        least=1 - 1e-6,
    ),
    Check(
        name="fit",
        statement="every ratio fits every training image in the end: least accuracy",
        measure=lambda records: min(_last(records.where(frozen=False), "train")),
        least=1.0,
    ),
    Check(
        name="movement",
        statement="the first layer moves more from ratio to ratio in every seed: least factor",
        measure=_least_growth,
        least=1.0,
    ),
    Check(
        name="lazy is worst",
        statement="He's ratio tests better than the laziest one by a standard error at least",
        measure=_lazy_is_worst,
        least=0.0,
    ),
    Check(
        name="rich is better",
        statement="3 times He's ratio tests at least 2 points better than He's: mean gain",
        measure=lambda records: mean(_gains(records, _RICH, _HE)),
        least=0.02,
    ),
    Check(
        name="control: lazy",
        statement="at the laziest ratio training the first layer changes test accuracy by less than 1 point",
        measure=_lazy_difference,
        most=0.01,
    ),
    Check(
        name="control: by moving",
        statement=(
            "3 times He's ratio gains more over He's with the first layer trained than with it frozen, by a standard "
            "error at least"
        ),
        measure=_by_moving,
        least=0.0,
    ),
)


def _tables(records: Records) -> list[Table]:
    rows: list[dict[str, Any]] = []
    for frozen in (False, True):
        for ratio in _ratios(records):
            found = records.found(ratio=ratio, frozen=frozen)
            if not found:
                continue
            tested = _last(found, "test")
            rows.append(
                {
                    "first layer": "frozen" if frozen else "trained",
                    "ratio": ratio,
                    "movement": mean(_last(found, "movement")),
                    "loss": mean(_last(found, "loss")),
                    "train %": 100 * mean(_last(found, "train")),
                    "test %": 100 * mean(tested),
                    "standard error": 100 * stdev(tested) / len(tested) ** 0.5 if len(tested) > 1 else None,
                    "least PL ratio": min(row["whole"] for row in found),
                }
            )
    return [Table("The end of training by ratio", rows)]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.4)
    moved, tested, curves = figure.subplots(1, 3)
    ratios = _ratios(records)
    trained = {ratio: rows for ratio in ratios if (rows := records.found(ratio=ratio, frozen=False))}
    values = [mean(_last(rows, "movement")) for rows in trained.values()]
    if values:
        moved.plot(list(trained), values, **line_style(0))
        moved.set(xscale="log", yscale="log")
    moved.set(xlabel="deviation of the second layer over He's", ylabel="relative movement of the first layer")
    for index, frozen in enumerate((False, True)):
        found = {ratio: rows for ratio in ratios if (rows := records.found(ratio=ratio, frozen=frozen))}
        shares = [100 * mean(_last(rows, "test")) for rows in found.values()]
        errors = [
            100 * stdev(_last(rows, "test")) / len(rows) ** 0.5 if len(rows) > 1 else 0.0
            for rows in found.values()
        ]
        label = "first layer frozen" if frozen else "both layers trained"
        tested.errorbar(list(found), shares, errors, label=label, capsize=2, **line_style(index))
    tested.set(
        xlabel="deviation of the second layer over He's", ylabel="test accuracy in percent", xscale="log"
    )
    tested.legend(fontsize=7)
    for index, (ratio, rows) in enumerate(trained.items()):
        steps = [point["step"] for point in rows[0]["curve"]]
        loss = [mean(row["curve"][place]["loss"] for row in rows) for place in range(len(steps))]
        curves.plot(steps[1:], loss[1:], label=f"ratio {ratio:g}", **line_style(index))
    curves.set(xlabel="step", ylabel="loss per image", xscale="log", yscale="log")
    if trained:
        curves.legend(fontsize=7)


LAZY_WIDTH = Study(
    name="lazy-width",
    title="Wide shallow networks: lazy ones fit as well and generalise worse",
    claim=(
        "A wide network with one hidden layer reaches zero loss from ordinary starts, lazily or not, by the "
        "Polyak-Lojasiewicz inequality that its features give, and of starts with the same product of deviations the "
        "lazier ones generalise worse."
    ),
    paper=(
        "Song, Ramezani-Kebrya, Pethick, Eftekhari, Cevher 2021, Subquadratic overparameterization for shallow neural "
        "networks"
    ),
    quick={
        "seed": 0,
        "seeds": 5,
        "ratios": [0.05, 0.2, 0.5, 1, 1.5, 3],
        "images": 300,
        "neurons": 500,
        "steps": 500,
    },
    full={
        "seed": 0,
        "seeds": 10,
        "ratios": [0.05, 0.2, 0.5, 1, 1.5, 2, 3],
        "images": 1000,
        "neurons": 2000,
        "steps": 3000,
    },
    cases=_cases,
    run=train_shallow,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The ratio is the deviation of the second layer over He's; the first layer has He's divided by it, so the "
        "product stays. Digits of 8x8 pixels; the paper trains on MNIST with the labels of a teacher.",
        "Descent on all images with the rate 1 over the largest eigenvalue of the tangent kernel at the start, as the "
        "theory wants it, but with momentum 0.9, so that 500 steps do what thousands would.",
        "GELU is not homogeneous: a ratio above 1 makes the inputs of the hidden layer small, where GELU is nearly "
        "quadratic, and so changes the features themselves. The control with the first layer frozen separates that "
        "from learning features.",
        "That a width of order n^(3/2) is enough cannot be seen here: much smaller widths fit too. The bound is "
        "sufficient and not tight.",
    ),
)

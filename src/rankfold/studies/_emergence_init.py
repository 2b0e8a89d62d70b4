"""Small early and large late layers: an initialisation, or learning rates layer by layer."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._emergence_init_runs import compare_with_rates, train_rescaled
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EMERGENCE_INIT"]

_NORMS = {False: "no batch norm", True: "batch norm"}
_WHENS = ("first", "last")


def _cases(parameters: Parameters) -> list[Case]:
    seeds = range(parameters["seed"], parameters["seed"] + parameters["seeds"])
    exact: list[Case] = [
        {
            "part": "exact",
            "alpha": alpha,
            "schedule": schedule,
            "bias": bias,
            "norm": norm,
            "depth": 8,
            "width": 32,
            "rate": 1e-3,
            "steps": 50,
            "seed": seed,
        }
        for alpha in parameters["alphas"]
        if alpha != 1
        for schedule, bias, norm in (("ramp", False, False), ("step", True, False), ("ramp", False, True))
        for seed in seeds
    ]
    size = {"depth": 8, "width": 64, "images": 1137, "held out images": 300}
    training: list[Case] = [
        {"part": "training", "norm": norm, "alpha": alpha, "rate": rate, "epochs": parameters["epochs"]}
        | {**size, "seed": seed}
        for norm in _NORMS
        for alpha in parameters["alphas"]
        for rate in parameters["rates"]
        for seed in seeds
    ]
    return exact + training


def _run(case: Case, setting: Setting) -> Record:
    return compare_with_rates(case) if case["part"] == "exact" else train_rescaled(case, setting)


def _exact(records: Records, name: str, *, norm: bool | None = False) -> list[float]:
    rows = records.where(lambda case: case["part"] == "exact" and norm in (None, case["norm"]))
    return [row[name] for row in rows]


def _at_best_rate(rows: Sequence[Record], when: str) -> list[Record]:
    """The records at the rate with the best mean on held-out images, by seed; the lower rate where two are equal."""
    rates = sorted({row["rate"] for row in rows})
    if not rates:
        return []
    best = max(rates, key=lambda rate: mean(row[f"{when} held_out"] for row in rows if row["rate"] == rate))
    return sorted((row for row in rows if row["rate"] == best), key=lambda row: row["seed"])


def _alphas(records: Records) -> list[float]:
    return list(dict.fromkeys(case["alpha"] for case in records.cases if case["part"] == "training"))


def _tuned_gain(records: Records, norm: bool, when: str) -> float:
    """Mean gain of the alpha above 1 that does best on held-out images over 1, less its standard error."""
    tuned = {
        alpha: _at_best_rate(records.where(part="training", norm=norm, alpha=alpha), when)
        for alpha in _alphas(records)
    }
    plain = tuned.pop(1)
    best = max(tuned.values(), key=lambda rows: mean(row[f"{when} held_out"] for row in rows))
    gains = [one[f"{when} test"] - two[f"{when} test"] for one, two in zip(best, plain, strict=True)]
    return mean(gains) - (stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0)


def _gain_at_lowest_rate(records: Records, norm: bool) -> float:
    """The largest mean gain of an alpha above 1 in the first epoch, at the lowest rate."""
    rows = records.where(part="training", norm=norm)
    lowest = min(row["rate"] for row in rows)
    means = {
        alpha: mean(row["first test"] for row in rows if (row["alpha"], row["rate"]) == (alpha, lowest))
        for alpha in _alphas(records)
    }
    return max(value for alpha, value in means.items() if alpha != 1) - means[1]


_CHECKS = (
    Check(
        name="F1",
        statement="without batch norm rescaling changes no output: largest relative change",
        measure=lambda records: max(_exact(records, "changed")),
        most=1e-12,
    ),
    Check(
        name="F2",
        statement=(
            "without batch norm 50 steps of SGD equal those of the original network with rates divided by the squared "
            "factors: largest relative difference of outputs"
        ),
        measure=lambda records: max(_exact(records, "apart")),
        most=1e-10,
    ),
    Check(
        name="F3",
        statement="the product of the factors is 1",
        measure=lambda records: max(_exact(records, "product", norm=None)),
        most=1e-12,
    ),
    *(
        Check(
            name=f"F4 low rate, {title}",
            statement=(
                f"{title}, lowest rate: some alpha above 1 is 5 points better after the first epoch: largest mean gain"
            ),
            measure=lambda records, norm=norm: _gain_at_lowest_rate(records, norm),
            least=0.05,
        )
        for norm, title in _NORMS.items()
    ),
    *(
        Check(
            name=f"{when} epoch, {title}",
            statement=(
                f"{title}, each alpha at its best rate: the best alpha above 1 tests better than 1 after the {when} "
                "epoch by a standard error at least"
            ),
            measure=lambda records, norm=norm, when=when: _tuned_gain(records, norm, when),
            least=0.0,
        )
        for norm, title in _NORMS.items()
        for when in _WHENS
    ),
)


def _tables(records: Records) -> list[Table]:
    tuned: list[dict[str, Any]] = []
    sweep: list[dict[str, Any]] = []
    for norm, title in _NORMS.items():
        for alpha in _alphas(records):
            rows = records.found(part="training", norm=norm, alpha=alpha)
            if not rows:
                continue
            line: dict[str, Any] = {"network": title, "alpha": alpha}
            for when in _WHENS:
                best = _at_best_rate(rows, when)
                tested = [100 * row[f"{when} test"] for row in best]
                line[f"rate for the {when} epoch"] = best[0]["rate"]
                line[f"test % after the {when} epoch"] = mean(tested)
                error = stdev(tested) / len(tested) ** 0.5 if len(tested) > 1 else None
                line[f"standard error, {when}"] = error
            tuned.append(line)
            for when in _WHENS:
                rates = sorted({row["rate"] for row in rows})
                shares = {
                    f"rate {rate:g}": 100 * mean(row[f"{when} test"] for row in rows if row["rate"] == rate)
                    for rate in rates
                }
                sweep.append({"network": title, "alpha": alpha, "after the epoch": when} | shares)
    exact = [
        {name: row[name] for name in ("alpha", "schedule", "bias", "norm", "seed")}
        | {"outputs changed by": row["changed"], "apart after 50 steps": row["apart"]}
        for row in records.found(part="exact")
    ]
    return [
        Table("Each alpha at the rate that does best on held-out images", tuned),
        Table("Mean test accuracy in percent by learning rate", sweep),
        Table("Rescaled network against learning rates by layer, float64", exact),
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.6)
    panels = figure.subplots(1, 4, sharey=True)
    for axes, (norm, when) in zip(panels, [(n, w) for n in _NORMS for w in _WHENS], strict=True):
        for index, alpha in enumerate(_alphas(records)):
            rows = records.found(part="training", norm=norm, alpha=alpha)
            rates = sorted({row["rate"] for row in rows})
            shares = [
                100 * mean(row[f"{when} test"] for row in rows if row["rate"] == rate) for rate in rates
            ]
            axes.plot(rates, shares, label=f"alpha = {alpha:g}", **line_style(index))
        axes.set(xscale="log", xlabel="learning rate", title=f"{_NORMS[norm]}, {when} epoch")
    panels[0].set_ylabel("test accuracy in percent")
    panels[0].legend(fontsize=7)


EMERGENCE_INIT = Study(
    name="emergence-init",
    title="Small early and large late layers",
    claim=(
        "Dividing the weights of early layers and multiplying those of late ones by powers of alpha after an ordinary "
        "initialisation speeds up training, most of all its first epoch, with and without batch norm."
    ),
    paper="Li, George, Silva 2024, Emergence-promoting initialization",
    quick={
        "seed": 0,
        "seeds": 5,
        "alphas": [1, 1.1, 1.25, 1.5],
        "rates": [0.003, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 1.0],
        "epochs": 10,
    },
    full={
        "seed": 0,
        "seeds": 10,
        "alphas": [1, 1.05, 1.1, 1.25, 1.5],
        "rates": [0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0],
        "epochs": 20,
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "Without batch norm F1 and F2 settle what the method is: the same function, trained with larger learning rates "
        "in early and smaller ones in late layers. The control that decides whether this helps is the sweep: each "
        "alpha, 1 included, gets the rate and the best alpha is taken by held-out images; test images decide nothing.",
        "The gain at a rate that is far too low (F4) is what any larger rate gives.",
        "Batch norm undoes the factors of all layers but the last, whose factor multiplies the logits, by alpha^4 "
        "here, as the third table shows. With it the method is a larger scale of the outputs besides the rates, and "
        "the equality of F2 is lost.",
        "Digits and a perceptron of 8 layers; the paper has larger networks and counts paths between active neurons, "
        "which depend on a threshold and are no part of this study.",
    ),
)

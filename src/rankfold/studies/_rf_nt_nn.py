"""Random features, neural tangent and fully trained networks of N neurons in d dimensions, side by side."""

from typing import TYPE_CHECKING

from rankfold.studies._checks import Check
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Records
from rankfold.studies._rf_nt_nn_cases import (
    mixture_formulas,
    quadratic_formulas,
    run_case,
    separation,
    spectrum_of,
)
from rankfold.studies._study import Parameters, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RF_NT_NN"]

_MODELS = {"rf": "random features", "nt": "neural tangent", "nn": "fully trained"}
_QUADRATIC = {
    **_MODELS,
    "rf_shaped": "random features, weights shaped as the target",
    "relu": "random features, rectified",
}
_SLACK = 1e-3  # how far from its optimum L-BFGS may stop; choice of this library
_RANK_SHARE = 0.25  # rank of the target over d, in the part on the gap


def _cases(parameters: Parameters) -> list[Case]:
    seed, draws = parameters["seed"], parameters["draws"]
    curves = {"d": parameters["d"], "draws": draws, "steps": parameters["steps"], "seed": seed}
    small = parameters["small"]
    return [
        *({"part": "quadratic", "rho": rho, **curves} for rho in parameters["ratios"]),
        *(
            {"part": "mixture", "rho": rho, "size": parameters["size"], **curves}
            for rho in parameters["ratios"]
        ),
        *({"part": "separation", "rho": 0.25, "size": size, **curves} for size in parameters["separations"]),
        {"part": "gap", "rho": _RANK_SHARE, **curves},
        *(
            {"part": "descent", "N": count, "d": 50, "steps": 20000, "seed": seed}
            for count in parameters["descents"]
        ),
        *(
            {"part": "width", "N": round(share * small), "d": small, "seed": seed}
            for share in (0.5, 1 - 1 / small, 1.0, 1.5, 2.0)
        ),
        *(
            {"part": "one pass", "rho": rho, **parameters["one_pass"], "seed": seed}
            for rho in parameters["one_pass_ratios"]
        ),
    ]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _deviation(records: Records, part: str, model: str) -> float:
    """The largest distance, over rho, of the mean over the draws from the formula."""
    return max(abs(_mean(row[model]) - row["formula"][model]) for row in records.where(part=part))


def _ordering(records: Records, part: str) -> float:
    """The smallest of RF - NT and NT - NN over all draws and rho."""
    return min(
        upper - lower
        for row in records.where(part=part)
        for pair in (("rf", "nt"), ("nt", "nn"))
        for upper, lower in zip(*(row[name] for name in pair), strict=True)
    )


def _descent_deviation(records: Records, count: int) -> float:
    (row,) = records.where(part="descent", N=count)
    return abs(row["risk"] - row["formula"])


def _one_pass_deviation(records: Records, model: str) -> float:
    return max(abs(row[model] - row["best"][model]) for row in records.where(part="one pass"))


_CHECKS = (
    *(
        Check(
            name=f"C1 N={count}",
            statement=f"gradient descent with {count} neurons in 50 dimensions ends at the formula within {most:g}",
            measure=lambda records, count=count: _descent_deviation(records, count),
            most=most,
        )
        for count, most in ((10, 1e-8), (25, 1e-8), (60, 1e-20))
    ),
    *(
        Check(
            name=name,
            statement=f"{_QUADRATIC[model]}: the mean over the draws is the formula within {most:g} at every rho",
            measure=lambda records, model=model: _deviation(records, "quadratic", model),
            most=most,
        )
        for name, model, most in (
            ("C1 curve", "nn", 0.02),
            ("C2", "nt", 0.02),
            ("C3", "rf", 0.015),
            ("C3 shaped", "rf_shaped", 0.015),
            ("C4", "relu", 0.02),
        )
    ),
    *(
        Check(
            name=f"C5 {part}",
            statement=f"RF >= NT >= NN in every draw, at every rho, up to {_SLACK:g} of the training",
            measure=lambda records, part=part: _ordering(records, part),
            least=-_SLACK,
        )
        for part in ("quadratic", "mixture")
    ),
    Check(
        name="C6",
        statement="the neural tangent model of N >= d neurons fits the quadratic target within 1e-10",
        measure=lambda records: max(
            row["risk"]
            for row in records.where(lambda case: case["part"] == "width" and case["N"] >= case["d"])
        ),
        most=1e-10,
    ),
    Check(
        name="C6 below",
        statement="with fewer than d neurons it does not: its risk is above 1e-6",
        measure=lambda records: min(
            row["risk"]
            for row in records.where(lambda case: case["part"] == "width" and case["N"] < case["d"])
        ),
        least=1e-6,
    ),
    *(
        Check(
            name=f"C7 {model}",
            statement=f"mixture, {words}: the mean over the draws is the formula within 0.02 at every rho",
            measure=lambda records, model=model: _deviation(records, "mixture", model),
            most=0.02,
        )
        for model, words in _MODELS.items()
    ),
    Check(
        name="gap tangent",
        statement="on a target of rank N = d/4 the risk of the neural tangent model is above 0.5 in every draw",
        measure=lambda records: min(records.where(part="gap")[0]["nt"]),
        least=0.5,
    ),
    Check(
        name="gap trained",
        statement="there the fully trained network gets below 1e-6, so the ratio has no bound",
        measure=lambda records: max(records.where(part="gap")[0]["nn"]),
        most=1e-6,
    ),
    *(
        Check(
            name=f"one pass {model}",
            statement=f"{_MODELS[model]}: one pass of stochastic gradients ends within 0.02 of the optimum",
            measure=lambda records, model=model: _one_pass_deviation(records, model),
            most=0.02,
        )
        for model in ("nt", "nn")
    ),
)


def _tables(records: Records) -> list[Table]:
    small = [
        {
            "part": row["part"],
            "N": row["N"],
            "d": row["d"],
            "risk": row["risk"],
            "formula": row.get("formula"),
        }
        for row in records.found(lambda case: case["part"] in ("descent", "width"))
    ]
    gap = [
        {_MODELS[model]: _mean(row[model]) for model in ("rf", "nt", "nn")}
        for row in records.found(part="gap")
    ]
    one_pass = [
        {"rho": row["rho"]}
        | {
            f"{_MODELS[model]}, {words}": value
            for model in ("nt", "nn")
            for words, value in (("trained", row[model]), ("optimum", row["best"][model]))
        }
        for row in records.found(part="one pass")
    ]
    return [
        Table(
            "Quadratic target: mean risk and formula",
            _curves(records, "quadratic", "rho", _QUADRATIC),
            drawn=True,
        ),
        Table("Mixture: mean risk and formula", _curves(records, "mixture", "rho", _MODELS), drawn=True),
        Table(
            "Mixture at rho = 1/4, by the norm of Delta: the formula is of first order in it",
            _curves(records, "separation", "size", _MODELS),
            drawn=True,
        ),
        Table("Target of rank N = d/4: mean risk", gap),
        Table("Small dimensions: gradient descent, and least squares of the neural tangent model", small),
        Table("One pass of stochastic gradients", one_pass, drawn=True),
    ]


def _curves(records: Records, part: str, axis: str, models: dict[str, str]) -> list[dict[str, float]]:
    return [
        {axis: row[axis]}
        | {
            label: value
            for model, words in models.items()
            for label, value in ((words, _mean(row[model])), (f"{words}, formula", row["formula"][model]))
        }
        for row in records.found(part=part)
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(8, 3.6)
    left, right = figure.subplots(1, 2)
    for axes, part, shown in (
        (left, "quadratic", (*_MODELS, "relu")),
        (right, "mixture", tuple(_MODELS)),
    ):
        rows = sorted(records.found(part=part), key=lambda row: row["rho"])
        labels = _QUADRATIC if part == "quadratic" else _MODELS
        for index, model in enumerate(shown):
            style = line_style(index)
            axes.plot(
                [row["rho"] for row in rows],
                [_mean(row[model]) for row in rows],
                **{**style, "linestyle": "none"},
                label=labels[model],
            )
            if rows:
                ratios, values = _line(rows[0], model)
                axes.plot(ratios, values, **line_style(index, markers=False))
        axes.set(xlabel="neurons per dimension, rho = N/d", ylim=(-0.03, 1.03))
    left.set(ylabel="risk / risk of a constant", title="quadratic target")
    right.set(ylabel="mean squared error", title="mixture of two Gaussians")
    left.legend(fontsize="small", loc="upper right", bbox_to_anchor=(1.0, 0.62))
    right.annotate("points: given the weights; lines: formulas", (0.04, 0.05), xycoords="axes fraction")


def _line(case: Case, model: str) -> tuple[list[float], list[float]]:
    """The formula over rho for the target of this case."""
    ratios = [0.02 * number for number in range(1, 105)]
    if case["part"] == "mixture":
        formulas = [mixture_formulas(rho, separation(case)) for rho in ratios]
    else:
        spectrum = spectrum_of(case["d"], case["seed"])
        formulas = [quadratic_formulas(rho, spectrum) for rho in ratios]
    return ratios, [values[model] for values in formulas]


RF_NT_NN = Study(
    name="rf-nt-nn",
    title="What lazy training cannot do with fewer neurons than dimensions",
    claim=(
        "On quadratic targets there is a potentially unbounded gap between random features, neural tangent and fully "
        "trained two-layer networks with fewer neurons than dimensions; with more, neural tangent and full training "
        "both reach zero risk."
    ),
    paper=(
        "Ghorbani, Mei, Misiakiewicz, Montanari 2019, Limitations of Lazy Training of Two-layers Neural Networks"
    ),
    quick={
        "seed": 0,
        "d": 200,
        "draws": 5,
        "ratios": [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
        "steps": 100,
        "size": 0.3,
        "separations": [0.1, 0.2, 0.4, 0.8],
        "descents": [10, 25, 60],
        "small": 30,
        "one_pass": {"d": 40, "steps": 6000},
        "one_pass_ratios": [0.25, 0.5, 0.75, 1.5],
    },
    full={
        "seed": 0,
        "d": 450,
        "draws": 10,
        "ratios": [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
        "steps": 200,
        "size": 0.3,
        "separations": [0.1, 0.2, 0.4, 0.8],
        "descents": [10, 25, 60],
        "small": 40,
        "one_pass": {"d": 100, "steps": 40000},
        "one_pass_ratios": [0.25, 0.5, 0.75, 1.5],
    },
    cases=_cases,
    run=lambda case, setting: run_case(case),
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "Risks of random features and neural tangent are those of the best model given the random weights, in closed "
        "form; no sampling error is in them. The network is trained by L-BFGS on the population risk.",
        "The one pass of stochastic gradients follows the authors' code (fresh batches of 100, the step size cut "
        "twice, a scalar second layer from 0) in fewer dimensions and steps, with step sizes of ours.",
        "The target has exponential eigenvalues as in the authors' code; all models have a free offset.",
        "The formulas hold for d to infinity. With finite d random features gain in addition about 2 N/d² of what "
        "the formula leaves, since N features span a part of the d²/2 dimensions of quadratic forms.",
        "The mixture formula is of first order in the operator norm of Delta, which is 0.3 here by our choice; the "
        "table by that norm shows where it stops holding.",
        "Nothing is said here on samples: the paper's claim is on the population risk.",
    ),
)

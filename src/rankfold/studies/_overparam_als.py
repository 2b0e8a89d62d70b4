"""Alternating least squares with more components than the rank, and the number from which it fits at once.

Axes: n dimensions in each of three modes, r components of the target, k components of the model.
"""

import math
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from rankfold.decompose import cp
from rankfold.formats import factor_match_score
from rankfold.studies._checks import Check
from rankfold.studies._overparam_sweeps import (
    FITTED,
    jacobi_sweeps,
    model_of,
    normal,
    sequential_sweeps,
    target_factors,
    tensor_of,
)
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OVERPARAM_ALS"]

# Components are the same from this factor match score on: Acar, Dunlavy and Kolda 2011, "A scalable optimization
# approach for fitting canonical tensor decompositions".
_SAME = 0.97
_TARGETS = ("gaussian", "orthogonal", "collinear")
# Sizes k of the model by r² beside r, r² - 1 and r²; Jacobi sweeps only where they are of interest.
_SHARES, _JACOBI_SHARES, _BEYOND = (0.25, 0.4, 0.5, 0.65, 0.8), (0.5,), 1.5


def _cases(parameters: Parameters) -> list[Case]:
    common = {"seeds": parameters["seeds"], "seed": parameters["seed"]}
    cases: list[Case] = []
    for n, r in parameters["sizes"]:
        sizes = {"n": n, "r": r, **common}
        for target in _TARGETS:
            for method in ("sequential", "jacobi"):
                cases += [
                    {"part": "sweeps", "target": target, "method": method, "k": k, "sweeps": 30, **sizes}
                    for k in _widths(r, every=parameters["every width"], jacobi=method == "jacobi")
                ]
        cases += [
            {"part": "sweeps", "target": "core", "method": "jacobi", "k": k, "sweeps": 30, **sizes}
            for k in (r * r - 1, r * r)
        ]
        cases += [{"part": "components", "target": target, "k": r * r, **sizes} for target in _TARGETS]
    return cases


def _widths(r: int, *, every: bool, jacobi: bool) -> list[int]:
    shares = _JACOBI_SHARES if jacobi else _SHARES
    between = range(r, r * r) if every else [round(share * r * r) for share in shares]
    return sorted({r, *(k for k in between if k > r), r * r - 1, r * r, round(_BEYOND * r * r)})


def _run(case: Case, setting: Setting) -> Record:
    draws = [torch.Generator().manual_seed(case["seed"] + number) for number in range(case["seeds"])]
    if case["part"] == "components":
        scores = [_scores(case, generator) for generator in draws]
        return {name: [score[name] for score in scores] for name in scores[0]}
    runs = [_fitting(case, generator) for generator in draws]
    needed = [next((sweep for sweep, e in enumerate(run, 1) if e < FITTED), None) for run in runs]
    return {"needed": needed, "errors": [min(run) for run in runs]}


def _fitting(case: Case, generator: torch.Generator) -> list[float]:
    """Relative errors after each sweep."""
    tensor = tensor_of(target_factors(case["target"], case["n"], case["r"], generator))
    start = [normal(case["n"], case["k"], generator) for _ in range(3)]
    if case["method"] == "jacobi":
        return jacobi_sweeps(tensor, start, case["sweeps"])
    return [
        point.relative_error
        for point in sequential_sweeps(tensor, start, case["sweeps"]).trace[: case["sweeps"]]
    ]


def _scores(case: Case, generator: torch.Generator) -> dict[str, float]:
    """How well the true components are found by k components, by as many as there are, and by chance.

    Chance: k random columns in the ranges of the true factors, where ALS puts its columns too.
    """
    n, r, k = case["n"], case["r"], case["k"]
    truth = target_factors(case["target"], n, r, generator)
    tensor = tensor_of(truth)
    many = sequential_sweeps(tensor, [normal(n, k, generator) for _ in range(3)], 30)
    few = cp(tensor, r, generator=generator)
    guess = [factor @ normal(r, k, generator) for factor in truth]
    known = model_of(truth)
    return {
        "error": many.relative_error,
        "found by k": factor_match_score(known, many.tensor),
        "found by r": factor_match_score(known, few.tensor),
        "by chance": factor_match_score(known, model_of(guess)),
    }


def _most_sweeps(rows: list[Record]) -> float:
    """The largest number of sweeps; infinite where a run did not fit."""
    return max(math.inf if count is None else count for row in rows for count in row["needed"])


def _share(rows: list[Record]) -> float:
    counts = [count is not None for row in rows for count in row["needed"]]
    return sum(counts) / len(counts)


def _at(records: Records, method: str, offset: int, *, core: bool = False) -> list[Record]:
    """The records at ``k = r² + offset``."""
    return records.where(
        lambda case: (
            case["part"] == "sweeps"
            and case["k"] == case["r"] ** 2 + offset
            and (case["target"] == "core") == core
        ),
        method=method,
    )


def _between(records: Records) -> list[Record]:
    """Sequential sweeps with more than r components and half of r² at most."""
    return records.where(
        lambda case: case["part"] == "sweeps" and case["r"] < case["k"] <= case["r"] ** 2 / 2,
        method="sequential",
    )


def _gain_over_rank(records: Records) -> float:
    """How much larger the share of fits is between r and r²/2 than at k = r, without collinear targets."""
    rows = [row for row in _between(records) if row["target"] != "collinear"]
    narrow = records.where(
        lambda case: case["part"] == "sweeps" and case["k"] == case["r"] and case["target"] != "collinear",
        method="sequential",
    )
    return _share(rows) - _share(narrow)


def _all_scores(records: Records, name: str) -> list[float]:
    return [score for row in records.where(part="components") for score in row[name]]


_CHECKS = (
    Check(
        name="T6 k=9",
        statement="for n = 20, r = 3, k = 9 all runs of Jacobi ALS fit, in 2 sweeps at most",
        measure=lambda records: _most_sweeps(records.where(part="sweeps", method="jacobi", n=20, r=3, k=9)),
        most=2,
    ),
    Check(
        name="T6 k=8",
        statement="for n = 20, r = 3, k = 8 no run of Jacobi ALS fits in 30 sweeps",
        measure=lambda records: _share(records.where(part="sweeps", method="jacobi", n=20, r=3, k=8)),
        most=0.0,
    ),
    Check(
        name="Jacobi at r²",
        statement="with k = r² all runs of Jacobi ALS fit, in 2 sweeps at most",
        measure=lambda records: _most_sweeps(_at(records, "jacobi", 0)),
        most=2,
    ),
    Check(
        name="Jacobi at r² - 1",
        statement="with k = r² - 1 no run of Jacobi ALS fits in 30 sweeps",
        measure=lambda records: _share(_at(records, "jacobi", -1)),
        most=0.0,
    ),
    Check(
        name="Jacobi beyond r²",
        statement="with k = 1.5 r² all runs of Jacobi ALS fit, in 2 sweeps at most",
        measure=lambda records: _most_sweeps(
            records.where(
                lambda case: case["part"] == "sweeps" and case["k"] == round(_BEYOND * case["r"] ** 2),
                method="jacobi",
            )
        ),
        most=2,
    ),
    Check(
        name="sequential at r²",
        statement="with k = r² all runs of sequential ALS fit in the first sweep",
        measure=lambda records: _most_sweeps(_at(records, "sequential", 0)),
        most=1,
    ),
    Check(
        name="sequential at r² - 1",
        statement="with k = r² - 1 all runs of sequential ALS fit in 30 sweeps",
        measure=lambda records: _share(_at(records, "sequential", -1)),
        least=1.0,
    ),
    Check(
        name="between",
        statement="with r < k <= r²/2 at most half of the runs of sequential ALS fit in 30 sweeps",
        measure=lambda records: _share(_between(records)),
        most=0.5,
    ),
    Check(
        name="worse than k = r",
        statement="for gaussian and orthogonal targets the share with r < k <= r²/2 is no larger than with k = r",
        measure=_gain_over_rank,
        most=0.0,
    ),
    Check(
        name="any core fits",
        statement="with k = r² Jacobi ALS also fits random cores r x r x r, in 2 sweeps at most",
        measure=lambda records: _most_sweeps(_at(records, "jacobi", 0, core=True)),
        most=2,
    ),
    Check(
        name="no components",
        statement=f"no fit with r² components has a factor match score above {_SAME}",
        measure=lambda records: max(_all_scores(records, "found by k")),
        most=_SAME,
    ),
    Check(
        name="control",
        statement=f"with r components the default method of cp has a factor match score of {_SAME} or more in all runs",
        measure=lambda records: min(_all_scores(records, "found by r")),
        least=_SAME,
    ),
)


def _needed(row: Record) -> str:
    """How many runs fitted, and in how many sweeps."""
    counts = [count for count in row["needed"] if count is not None]
    text = f"{len(counts)} of {len(row['needed'])}"
    if not counts:
        return text
    return f"{text} in {min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "")


def _tables(records: Records) -> list[Table]:
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in records.found(part="sweeps"):
        key = (row["target"], row["r"], row["k"])
        line = rows.setdefault(key, {"target": row["target"], "n": row["n"], "r": row["r"], "k": row["k"]})
        line["k / r²"] = row["k"] / row["r"] ** 2
        line[f"{row['method']}: runs that fit, sweeps"] = _needed(row)
        line[f"{row['method']}: error of the worst run"] = max(row["errors"])
    scores = [
        {
            "target": row["target"],
            "r": row["r"],
            "k": row["k"],
            "largest relative error": max(row["error"]),
            **{
                f"factor match score {name}": sum(row[name]) / len(row[name])
                for name in ("found by k", "found by r", "by chance")
            },
        }
        for row in records.found(part="components")
    ]
    order = {target: number for number, target in enumerate((*_TARGETS, "core"))}
    listed = [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], *key[1:]))]
    return [
        Table(
            "Runs that fit in 30 sweeps, the sweeps they take, and the least error of the worst run", listed
        ),
        Table("The components are not found", scores),
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(8, 3.6)
    left, right = figure.subplots(1, 2)
    found = records.found(lambda case: case["part"] == "sweeps" and case["target"] != "core")
    for index, r in enumerate(sorted({row["r"] for row in found})):
        for method, drawn in (("sequential", {"linestyle": "-"}), ("jacobi", {"linestyle": ":"})):
            rows = [row for row in found if row["r"] == r and row["method"] == method]
            widths = sorted({row["k"] for row in rows})
            groups = [[row for row in rows if row["k"] == k] for k in widths]
            style = {**line_style(index), **drawn, "label": f"{method}, r = {r}"}
            places = [k / r**2 for k in widths]
            left.plot(places, [_share(group) for group in groups], **style)
            right.plot(places, [_middle(group) for group in groups], **style)
    for axes in (left, right):
        axes.axvline(1, color="0.5", linewidth=0.8)
        axes.set(xlabel="components by the square of the rank, k / r²")
    left.set(ylabel="share of runs that fit in 30 sweeps", ylim=(-0.05, 1.05), title="three kinds of target")
    right.set(ylabel="median sweeps to the fit", yscale="log", title="31: not within 30 sweeps")
    right.set_yticks([1, 2, 3, 5, 10, 20, 31], labels=["1", "2", "3", "5", "10", "20", "31"])
    right.minorticks_off()
    if found:
        left.legend(fontsize=7, loc="center right")


def _middle(rows: list[Record]) -> float:
    return median(row["sweeps"] + 1 if count is None else count for row in rows for count in row["needed"])


OVERPARAM_ALS = Study(
    name="overparam-als",
    title="With the square of the rank as many components, alternating least squares fits at once",
    claim=(
        "Alternating least squares from a random start fits every tensor of rank r with high probability if it is "
        "given k = O(r²) components."
    ),
    paper=(
        "Arvanitakis, Srinivas, Vijayaraghavan 2025 (authors inferred from their open problem on the same question), "
        "Guarantees for Alternating Least Squares in Overparameterized Tensor Decompositions"
    ),
    quick={"seed": 0, "seeds": 8, "sizes": [[20, 3], [30, 4], [40, 5]], "every width": False},
    full={"seed": 0, "seeds": 20, "sizes": [[20, 3], [30, 4], [40, 5]], "every width": True},
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The abstract says k = O(r²), also for targets with noise, which are not tried here. That r² are enough "
        "without noise, and the change so sharp, has this reason: r² products of columns in general position span all "
        "products of the ranges of two factors.",
        "Sequential ALS is cp(method='als'); Jacobi ALS updates all modes from the same factors by pseudo-inverses. A "
        "Jacobi sweep gives three models, one new factor with the two it came from; the best of them is judged, not "
        "the three new factors together.",
        "A run fits from the sweep on in which its relative error first falls below 1e-4, whether it stays there or "
        "not. Starts are normal numbers, and both methods have the same ones.",
        "The claim needs no lower bound: that fewer than r² components fail is no part of the paper, and where the "
        "checks below r² do not hold the claim is untouched.",
        "How few components are enough is open (Arvanitakis, Srinivas, Vijayaraghavan 2026, Open Problem: How much "
        "overparametrization is needed for ALS in tensor decomposition?).",
        "The fit says nothing about components: every core r x r x r has rank r² at most, and is fitted just the same.",
    ),
)

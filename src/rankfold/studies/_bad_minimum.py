"""A local minimum of the naive objective that more components remove, and targets with components of both signs.

Axes: m components, d = 2 dimensions in the first part; the bad minimum puts all components at ``m^(-1/4) e_1``.
"""

from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rankfold.decompose._homogeneous import homogeneous_flow, homogeneous_loss, sphere
from rankfold.studies._checks import Check
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table
from rankfold.studies._symmetric_descent import orthonormal_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BAD_MINIMUM", "solved_with_signs"]

# Coefficients of the term of order four along (1, -1/(m-1), ...): 6/m (sum e²)² - 2 sum e⁴, from the expansion below.
_COEFFICIENTS = {2: 8.0, 3: 2.25, 4: 0.593, 5: -0.156, 6: -0.576, 8: -1.026}
# Choice of this library. The loss of one component of unit length has curvature 32 along it, (d/du)² (u⁴ - 1)² at 1, so
# that descent is stable up to 2/32; more components have less, and the slow way out of a saddle wants long steps.
_STEP = 0.05
_LOOK = 500  # steps between two looks at the loss
_ESCAPED = 1e-2  # loss below which a run has left; the bad minimum has loss 1


def _cases(parameters: Parameters) -> list[Case]:
    coefficients = [{"part": "coefficient", "m": m} for m in parameters["widths"]]
    descents = [
        {"part": "descent", "m": m, "noise": noise, "runs": runs, "time": time, "seed": parameters["seed"]}
        for noise, time, runs in parameters["noises"]
        for m in parameters["widths"]
    ]
    signs = [
        {"part": "signs", "mixed": mixed, "m": 40, "runs": parameters["runs"], "seed": parameters["seed"]}
        for mixed in (False, True)
    ]
    return [*coefficients, *descents, *signs]


def _run(case: Case, setting: Setting) -> Record:
    if case["part"] == "coefficient":
        return {"coefficient": _coefficient(case["m"])}
    generator = torch.Generator().manual_seed(case["seed"])
    if case["part"] == "descent":
        noise = case["noise"] * (2 * torch.rand(case["runs"], case["m"], 2, generator=generator).double() - 1)
        times = _escape_times(_stuck(case["m"]) + noise, case["time"])
        found = [time for time in times if time is not None]
        return {"escaped": len(found), "times": times, "median": median(found) if found else None}
    return {"solved": solved_with_signs(case["mixed"], case["m"], case["runs"], generator)}


def _naive_loss(vectors: Tensor) -> Tensor:
    """``||sum u_i^(x)4 - e_1^(x)4 - e_2^(x)4||²`` for vectors ``(..., m, d)``, from Gram matrices."""
    gram = (vectors @ vectors.mT) ** 4
    return gram.sum((-2, -1)) - 2 * (vectors[..., :2] ** 4).sum((-2, -1)) + 2


def _stuck(count: int) -> Tensor:
    vectors = torch.zeros(count, 2, dtype=torch.float64)
    vectors[:, 0] = count**-0.25
    return vectors


def _coefficient(count: int) -> float:
    """Term of order four of the loss along the best direction.

    With components ``m^(-1/4) e_1 + eps_i e_2`` and ``sum eps_i = 0`` the products of components contribute
    ``6 (eps_i eps_j)²/m`` and those with the target ``-2 eps_i⁴``; terms of order two cancel. The loss is even in the
    length, so that two lengths remove the term of order six.
    """
    direction = torch.full((count,), -1.0 / (count - 1), dtype=torch.float64)
    direction[0] = 1.0
    values = []
    for length in (0.02, 0.04):
        moved = _stuck(count)
        moved[:, 1] = length * direction
        values.append(float(_naive_loss(moved) - _naive_loss(_stuck(count))) / length**4)
    return (4 * values[0] - values[1]) / 3


def _escape_times(vectors: Tensor, time: float) -> list[float | None]:
    """How long gradient descent on the naive objective takes to leave, in time of the flow; None if it does not.

    Time is step times steps; a run that has left stays away, for the loss does not rise. The gradient is
    ``8 ((U U^T)³ U - U³)``, powers by entries.
    """
    first: list[float | None] = [None] * len(vectors)
    vectors = vectors.clone()
    turned = vectors.mT  # of the same memory, for the loop is the whole cost
    for done in range(_LOOK, round(time / _STEP) + 1, _LOOK):
        for _ in range(_LOOK):
            gram = torch.bmm(vectors, turned)
            vectors.sub_(torch.baddbmm(vectors**3, gram**3, vectors, beta=-1), alpha=8 * _STEP)
        away = (_naive_loss(vectors) < _ESCAPED).tolist()
        first = [done * _STEP if old is None and now else old for old, now in zip(first, away, strict=True)]
        if None not in first:
            break
    return first


def solved_with_signs(mixed: bool, count: int, runs: int, generator: torch.Generator) -> int:
    """Runs that fit a target of order four with weights 1, 1, 1, -1, -1 in 20 dimensions to 1e-4."""
    weights = torch.tensor([1.0, 1, 1, -1, -1], dtype=torch.float64).expand(runs, 5)
    target = orthonormal_target(20, 4, weights, generator)
    signs = torch.ones(runs, count, dtype=torch.float64)
    if mixed:
        signs = (torch.randint(2, (runs, count), generator=generator) * 2 - 1).double()
    start = sphere((runs, count, 20), 1e-3, generator)
    vectors, signs = homogeneous_flow(target, start, signs, step=0.05, steps=600, frozen=True)
    return int((2 * homogeneous_loss(target, vectors, signs) < 1e-4 * target.squared_norm()).sum())


def _escaped_share(records: Records, count: int, noise: float) -> float:
    (row,) = records.where(part="descent", m=count, noise=noise)
    return row["escaped"] / row["runs"]


def _solved_share(records: Records, mixed: bool) -> float:
    (row,) = records.where(part="signs", mixed=mixed)
    return row["solved"] / row["runs"]


_CHECKS = (
    *(
        Check(
            name=f"A2 coefficient m={count}",
            statement=f"the quartic coefficient at m = {count} is {expected:+.3f}, within 0.002",
            measure=lambda records, count=count: records.where(part="coefficient", m=count)[0]["coefficient"],
            least=expected - 2e-3,
            most=expected + 2e-3,
        )
        for count, expected in _COEFFICIENTS.items()
    ),
    Check(
        name="A2 descent m=2",
        statement="from noise of 0.1 no run with 2 components escapes",
        measure=lambda records: _escaped_share(records, 2, 0.1),
        most=0.0,
    ),
    *(
        Check(
            name=f"A2 descent m={count}",
            statement=f"from noise of 0.1 all runs with {count} components escape",
            measure=lambda records, count=count: _escaped_share(records, count, 0.1),
            least=1.0,
        )
        for count in (5, 6, 8, 12)
    ),
    *(
        Check(
            name=f"A2 small noise m={count}",
            statement=f"from noise of 0.01 no run with {count} components escapes",
            measure=lambda records, count=count: _escaped_share(records, count, 0.01),
            most=0.0,
        )
        for count in (2, 3, 4)
    ),
    Check(
        name="A2 small noise m=8",
        statement="from noise of 0.01 five of six runs with 8 components escape",
        measure=lambda records: _escaped_share(records, 8, 0.01),
        least=5 / 6,
    ),
    Check(
        name="A7 equal signs",
        statement="with all signs + no run fits a target of both signs",
        measure=lambda records: _solved_share(records, mixed=False),
        most=0.0,
    ),
    Check(
        name="A7 random signs",
        statement="with random signs all runs fit it",
        measure=lambda records: _solved_share(records, mixed=True),
        least=1.0,
    ),
)


def _tables(records: Records) -> list[Table]:
    coefficients = {row["m"]: row["coefficient"] for row in records.found(part="coefficient")}
    descents = records.found(part="descent")
    rows = []
    for count in sorted(coefficients.keys() | {row["m"] for row in descents}):
        line = {"m": count, "quartic coefficient": coefficients.get(count)}
        for row in descents:
            if row["m"] == count:
                line[f"escaped from noise {row['noise']:g}"] = f"{row['escaped']} of {row['runs']}"
                line[f"median time, noise {row['noise']:g}"] = row["median"]
        rows.append(line)
    signs = [
        {
            "signs of the model": "random" if row["mixed"] else "all +",
            "fitted": f"{row['solved']} of {row['runs']}",
        }
        for row in records.found(part="signs")
    ]
    return [
        Table("The bad minimum, by the number of components m", rows),
        Table("Weights 1, 1, 1, -1, -1", signs),
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(8, 3.4)
    left, right = figure.subplots(1, 2)
    rows = sorted(records.found(part="coefficient"), key=lambda row: row["m"])
    left.plot([row["m"] for row in rows], [row["coefficient"] for row in rows], **line_style(0))
    left.axhline(0, color="0.5", linewidth=0.8)
    left.set(xlabel="components m", ylabel="quartic coefficient", title="below 0 the minimum is a saddle")
    for index, noise in enumerate(sorted({row["noise"] for row in records.found(part="descent")})):
        rows = sorted(records.found(part="descent", noise=noise), key=lambda row: row["m"])
        shares = [row["escaped"] / row["runs"] for row in rows]
        right.plot([row["m"] for row in rows], shares, label=f"noise {noise:g}", **line_style(index))
    right.set(
        xlabel="components m",
        ylabel="share of runs that escape",
        ylim=(-0.05, 1.05),
        title="gradient descent",
    )
    if right.lines:
        right.legend(loc="center right")


BAD_MINIMUM = Study(
    name="bad-minimum",
    title="Over-parameterisation removes a bad local minimum",
    claim=(
        "The naive objective of tensor decomposition has bad local minima, which more components than the rank turn "
        "into saddles."
    ),
    paper=(
        "Wang, Wu, Lee, Ma, Ge 2020, Beyond Lazy Training for Over-parameterized Tensor Decomposition; the paper has "
        "no experiments, the construction with its numbers is ours"
    ),
    quick={
        "seed": 0,
        "widths": [2, 3, 4, 5, 6, 8, 12],
        "noises": [[0.1, 6000, 40], [0.01, 10000, 12]],
        "runs": 10,
    },
    full={
        "seed": 0,
        "widths": [2, 3, 4, 5, 6, 8, 12],
        "noises": [[0.1, 40000, 200], [0.01, 40000, 50]],
        "runs": 50,
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The target is e_1^4 + e_2^4 (order four); at the bad minimum all m components share the place of e_1.",
        "Time is that of the gradient flow, step times steps. A quartic coefficient below 0 leaves a saddle without "
        "negative curvature: a start ten times nearer takes a hundred times as long to leave, so the share that has "
        "left depends on the time given.",
        "Components along e_1 of different lengths are bad points too. At m = 5 and 6, where the coefficient is little "
        "below 0, the loss can rise again along one that is longer than the others: from noise of 0.1 a few starts "
        "come to rest in such a point, whatever the time, or turn too slowly to leave in the time given.",
        "At m = 3 and 4 the minimum is a local one; noise of 0.1, uniform in every entry of both directions, is large "
        "enough to start outside of what it attracts.",
    ),
)

"""A gate on every rank term, so that plain gradient descent selects the rank."""

from statistics import mean

from rankfold.studies._checks import Check
from rankfold.studies._gated_rank_runs import RANK, RUNS
from rankfold.studies._gated_rank_views import at_equal_size, plot, tables
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study
from rankfold.studies._summaries import at_best, mean_of

__all__ = ["GATED_RANK"]


def _cases(parameters: Parameters) -> list[Case]:
    seeds = range(parameters["seed"], parameters["seed"] + parameters["seeds"])
    network_seeds = range(parameters["seed"], parameters["seed"] + parameters["network_seeds"])
    gated = [
        (16, depth, strength)
        for depth in parameters["network_depths"]
        for strength in parameters["network_strengths"]
    ]
    fixed = [(rank, None, 0.0) for rank in parameters["network_ranks"]]
    return [
        *(
            {"part": "penalty", "depth": depth, "draws": 100, "seed": parameters["seed"]}
            for depth in (2, 3, 4, 5)
        ),
        *({"part": "without training", "seed": seed} for seed in seeds),
        *(
            {"part": "matrix", "form": form, "depth": depth, "strength": strength, "seed": seed}
            for form, depth in parameters["forms"]
            for strength in parameters["strengths"]
            for seed in seeds
        ),
        *(
            {
                "part": "network",
                "rank": rank,
                "depth": depth,
                "strength": strength,
                "epochs": parameters["network_epochs"],
                "seed": seed,
            }
            for rank, depth, strength in (*gated, *fixed)
            for seed in network_seeds
        ),
    ]


def _run(case: Case, setting: Setting) -> Record:
    return RUNS[case["part"]](case, setting)


def _best(records: Records, form: str, depth: int) -> list[Record]:
    """The runs at the strength whose fit of the clean matrix is best in the mean."""
    rows = records.where(part="matrix", form=form, depth=depth)
    return at_best(rows, "strength", "error", least=True)


def _all_best(records: Records, depth: int) -> list[list[Record]]:
    """One list for each format of this depth."""
    named = dict.fromkeys(
        case["form"] for case in records.cases if case["part"] == "matrix" and case["depth"] == depth
    )
    return [_best(records, form, depth) for form in named]


def _farthest(records: Records, depth: int) -> float:
    return max(abs(row["rank"] - RANK) for rows in _all_best(records, depth) for row in rows)


def _errors(records: Records, depth: int) -> float:
    """The largest over formats of the mean error."""
    return max(mean_of(rows, "error") for rows in _all_best(records, depth))


def _untrained(records: Records, name: str) -> float:
    return mean_of(records.where(part="without training"), name)


_CHECKS = (
    Check(
        name="least",
        statement="at parts of equal size the penalty is the sum of the powers 2/D of the singular values to 1e-12",
        measure=lambda records: max(row["balanced"] for row in records.where(part="penalty")),
        most=1e-12,
    ),
    Check(
        name="bound",
        statement="for random parts it is never less: smallest ratio",
        measure=lambda records: min(row["least ratio"] for row in records.where(part="penalty")),
        least=1.0,
    ),
    Check(
        name="D = 3",
        statement="at its best strength every run with D = 3 ends at rank 2, in every format: largest deviation",
        measure=lambda records: _farthest(records, 3),
        most=0.0,
    ),
    Check(
        name="D = 2",
        statement="weight decay of two factors at its best strength leaves more terms than 2: mean rank",
        measure=lambda records: mean_of(_best(records, "tt", 2), "rank"),
        least=2.5,
    ),
    Check(
        name="control: D = 1",
        statement="weight decay of the matrix itself cuts no rank: least rank",
        measure=lambda records: min(
            row["rank"] for row in records.where(part="matrix", form="dense", depth=1)
        ),
        least=15,
    ),
    Check(
        name="error",
        statement="D = 3 fits the clean matrix better than D = 2, both at their best strengths: ratio of mean errors",
        measure=lambda records: _errors(records, 3) / mean_of(_best(records, "tt", 2), "error"),
        most=1.0,
    ),
    Check(
        name="control: true rank",
        statement="D = 3 is within 10 % of the error of an SVD that is told the rank: ratio of mean errors",
        measure=lambda records: _errors(records, 3) / _untrained(records, "true rank"),
        most=1.1,
    ),
    Check(
        name="control: threshold",
        statement="D = 3 beats the best soft threshold of singular values there is, which D = 2 amounts to: ratio",
        measure=lambda records: _errors(records, 3) / _untrained(records, "soft threshold"),
        most=1.0,
    ),
    Check(
        name="control: variational Bayes",
        statement="D = 3 fits no worse than one SVD cut at the rank of EVBMF, without training: ratio of mean errors",
        measure=lambda records: _errors(records, 3) / _untrained(records, "evbmf"),
        most=1.0,
    ),
    Check(
        name="network: cut",
        statement="cutting what the gates left over costs at most half a point of accuracy: largest loss",
        measure=lambda records: max(
            row["gated"] - row["accuracy"]
            for row in records.where(lambda case: case["part"] == "network" and case["depth"] is not None)
        ),
        most=0.5,
    ),
    Check(
        name="network: fixed ranks",
        statement=(
            "with D = 3 networks are within a point of networks trained at fixed ranks with as many parameters: mean "
            "difference"
        ),
        measure=lambda records: mean(
            at_equal_size(records.where(part="network", depth=None), row)
            for row in records.where(part="network", depth=3)
        ),
        least=-1.0,
    ),
    Check(
        name="network: D = 2",
        statement=(
            "with D = 3 networks do better than with D = 2, each against fixed ranks with as many parameters: "
            "difference of means"
        ),
        measure=lambda records: _over_fixed(records, 3) - _over_fixed(records, 2),
        least=0.0,
    ),
)


def _over_fixed(records: Records, depth: int) -> float:
    fixed = records.where(part="network", depth=None)
    return mean(at_equal_size(fixed, row) for row in records.where(part="network", depth=depth))


GATED_RANK = Study(
    name="gated-rank",
    title="Gates that select the rank",
    claim=(
        "Where every rank term is a product of three parts or more that share an L2 penalty, plain gradient descent "
        "finds the exact rank of a noisy matrix, which weight decay of two factors does not."
    ),
    paper="Kolb, Weber, Bischl, Rügamer 2025, Deep weight factorization, its mechanism on rank terms",
    quick={
        "seed": 0,
        "seeds": 3,
        "forms": [["dense", 1], ["tt", 2], ["tt", 3], ["tt", 4], ["cp", 3], ["cp", 4], ["tucker", 3]],
        "strengths": [0.25, 0.5, 1.0, 2.0],
        "network_seeds": 2,
        "network_epochs": 40,
        "network_depths": [2, 3, 4],
        "network_strengths": [0.004, 0.008, 0.016],
        "network_ranks": [2, 3, 4, 6, 9, 16],
    },
    full={
        "seed": 0,
        "seeds": 10,
        "forms": [
            ["dense", 1],
            ["tt", 2],
            ["tt", 3],
            ["tt", 4],
            ["tt", 5],
            ["cp", 3],
            ["cp", 4],
            ["cp", 5],
            ["tucker", 3],
            ["tucker", 5],
        ],
        "strengths": [0.125, 0.25, 0.5, 1.0, 2.0, 4.0],
        "network_seeds": 5,
        "network_epochs": 100,
        "network_depths": [2, 3, 4],
        "network_strengths": [0.001, 0.002, 0.004, 0.008, 0.016],
        "network_ranks": [1, 2, 3, 4, 6, 9, 12, 16],
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=tables,
    plot=plot,
    remarks=(
        "The paper factorises single weights; gates on rank terms are this library's reading of it. A matrix in two "
        "factors (TT) has D = 2 without gates; its components with weights (CP) and its Tucker form have D = 3.",
        "The best strength is the one of least error to the clean matrix, which nobody knows in use; it is chosen so "
        "for every depth alike.",
        "Zero is a minimum of every term for D of 3 and more, so a term that starts too small stays zero; all starts "
        "here are larger than the noise.",
        "Depth wants its own learning rate: at one that suits D = 3, D = 4 does not settle and leaves terms over. "
        "Here the rate falls with the curvature, so deeper runs take more steps.",
        "EVBMF reads the rank off the singular values of a given matrix at once. Gates are for where there is no such "
        "matrix: in the middle of a training.",
        "The bounds of half a point, a point and 10 % are choices of this library.",
    ),
)

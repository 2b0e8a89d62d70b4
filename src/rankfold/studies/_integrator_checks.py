"""What is judged in the study on the integrators' guarantees; numbers and T-names as in its figure."""

from itertools import pairwise
from math import log

from rankfold.studies._checks import Check
from rankfold.studies._records import Record, Records

__all__ = ["CHECKS"]

_ALL = ("fixed", "augmented", "parallel")

# Rounding of one step: eps times the about 76 terms of the longest sums (sizes 12, 10, 3, 3 and 48 entries of the
# core), times what projecting on bases that are up to 1 rad away can magnify it by, cos(1)^-4 = 12 for four modes.
_ROUNDING = 1e-13


def _largest(records: Records, name: str, **values: object) -> float:
    return max(row[name] for row in records.where(**values))


def _slope(rows: list[Record], finer: str = "steps") -> float:
    """Order of the error in 1/steps, from the two finest of the rows."""
    coarse, fine = sorted(rows, key=lambda row: row[finer])[-2:]
    return log(coarse["error"] / fine["error"]) / log(fine[finer] / coarse[finer])


def _parallel_order(records: Records, name: str) -> float:
    coarse, fine = (
        [row[name] for row in records.where(part="exactness", integrator="parallel", h=h)]
        for h in (0.1, 0.01)
    )
    return log(max(coarse) / max(fine)) / log(10)


def _spread(records: Records, integrator: str) -> float:
    """Largest factor, over the step lengths, between the errors of different decays."""
    rows = [row for row in records.where(part="path", integrator=integrator) if row["eps"] == 1e-3]
    by_steps: dict[int, list[float]] = {}
    for row in rows:
        by_steps.setdefault(row["steps"], []).append(row["error"])
    return max(max(errors) / min(errors) for errors in by_steps.values())


def _path_slope(records: Records, integrator: str) -> float:
    rows = [row for row in records.where(part="path", integrator=integrator) if row["eps"] == 1e-3]
    return min(_slope([row for row in rows if row["decay"] == d]) for d in {row["decay"] for row in rows})


def _stiff_factor(records: Records) -> float:
    """Error of Euler's method on the factors over the worst integrator's, at the finest steps and largest decay."""
    rows = records.where(lambda case: case["part"] == "path" and case["eps"] == 1e-3)
    decay, steps = max(row["decay"] for row in rows), max(row["steps"] for row in rows)
    ends = {row["integrator"]: row["error"] for row in rows if (row["decay"], row["steps"]) == (decay, steps)}
    return ends.pop("factor-euler") / max(ends.values())


def _eps_constant(records: Records, integrator: str) -> float:
    """Largest growth of the error over that without normal component, per eps."""
    finest = records.where(part="path", integrator=integrator, eps=0.0)[0]
    same = {"part": "path", "integrator": integrator, "decay": finest["decay"], "steps": finest["steps"]}
    return max(
        (row["error"] - finest["error"]) / row["eps"] for row in records.where(**same) if row["eps"] > 0
    )


def _turned(records: Records, tolerance: float) -> float:
    """Error at the finest steps over the least error of any step length, at a fixed tolerance."""
    rows = sorted(records.where(part="schedule", factor=tolerance, power=0), key=lambda row: row["steps"])
    return rows[-1]["error"] / min(row["error"] for row in rows)


def _growth(records: Records, integrator: str) -> Record:
    return records.where(part="growth", integrator=integrator, tolerance=0.1)[0]


def _shrinking_steps(records: Records) -> float:
    """Modes whose rank at a smaller tolerance is below that at a larger one."""
    count = 0
    for integrator in ("augmented", "parallel"):
        rows = sorted(records.where(part="growth", integrator=integrator), key=lambda row: row["tolerance"])
        for small, large in pairwise(rows):
            count += sum(a < b for a, b in zip(small["ranks"], large["ranks"], strict=True))
    return float(count)


def _scheduled_slope(records: Records) -> float:
    return _slope(records.where(part="schedule", power=2))


def _bound_share(records: Records) -> float:
    return max(row["error"] / row["bound"] for row in records.where(part="schedule"))


def _small_plain(records: Records, decay: float) -> float:
    return records.where(part="robustness", integrator="plain", decay=decay)[0]["losses"][-1]


CHECKS = (
    Check(
        name="5 parallel",
        statement="a parallel step before truncation is Riemannian gradient descent, to 1e-14",
        measure=lambda records: _largest(records, "error", part="riemannian", integrator="parallel"),
        most=1e-14,
    ),
    Check(
        name="5 control",
        statement="an augmented step is something else, by 1 % or more",
        measure=lambda records: min(
            r["error"] for r in records.where(part="riemannian", integrator="augmented")
        ),
        least=1e-2,
    ),
    *(
        Check(
            name=f"6 {name}",
            statement=f"{name}: a path of constant ranks is followed exactly for every step length, to 1e-13",
            measure=lambda records, name=name: _largest(records, "error", part="exactness", integrator=name),
            most=_ROUNDING,
        )
        for name in ("fixed", "augmented")
    ),
    Check(
        name="6 parallel order",
        statement="parallel: the error of such a step before truncation is of order 2 in its length, within 0.2",
        measure=lambda records: _parallel_order(records, "untruncated"),
        least=1.8,
        most=2.2,
    ),
    Check(
        name="6 parallel truncated",
        statement="parallel: after truncation to the ranks of the path it is of order 2 or better, within 0.2",
        measure=lambda records: _parallel_order(records, "error"),
        least=1.8,
    ),
    Check(
        name="6 parallel not exact",
        statement="parallel: not exact, the error at lengths of 0.01 and more is 1e-8 or more",
        measure=lambda records: min(
            row["error"]
            for row in records.where(
                lambda case: (
                    case["part"] == "exactness" and case["integrator"] == "parallel" and case["h"] >= 0.01
                )
            )
        ),
        least=1e-8,
    ),
    *(
        Check(
            name=f"7 {name}",
            statement=f"{name}: at the end the relative loss is 2e-27 or less, whatever the singular values",
            measure=lambda records, name=name: max(
                row["losses"][-1] for row in records.where(part="robustness", integrator=name)
            ),
            most=2e-27,
        )
        for name in _ALL
    ),
    Check(
        name="7 control well-conditioned",
        statement="plain descent on the factors, its rate tuned, reaches 1e-20 where all singular values are equal",
        measure=lambda records: _small_plain(records, 1.0),
        most=1e-20,
    ),
    Check(
        name="7 control decay 10",
        statement="and stays above 1e-10 where they fall by 10 from one to the next",
        measure=lambda records: _small_plain(records, 10.0),
        least=1e-10,
    ),
    *(
        Check(
            name=f"8 {name}",
            statement=f"{name} loss: no step breaks the bounds on descent and on what truncation costs",
            measure=lambda records, name=name: sum(
                row["violations"] for row in records.where(part="descent", loss=name)
            ),
            most=0.0,
        )
        for name in ("quadratic", "log-cosh")
    ),
    Check(
        name="8 not monotone",
        statement="the loss does rise at some steps, as the bound allows",
        measure=lambda records: sum(row["rises"] for row in records.where(part="descent")),
        least=1.0,
    ),
    Check(
        name="9",
        statement="truncation to tau takes at most tau times the norm of the weight",
        measure=lambda records: _largest(records, "shared", part="truncation"),
        most=1 + 1e-12,
    ),
    Check(
        name="9 control",
        statement="with tau in every mode instead of tau / sqrt(d) it can take more",
        measure=lambda records: _largest(records, "unshared", part="truncation"),
        least=1.0,
    ),
    Check(
        name="10",
        statement="float32 bases miss at most 2e-6 of the exact space, down to singular values of 1e-8",
        measure=lambda records: _largest(records, "ours", part="precision"),
        most=2e-6,
    ),
    Check(
        name="10 control",
        statement="from a core that is not in HOSVD form they miss 0.1 or more at 1e-8",
        measure=lambda records: min(row["raw"] for row in records.where(part="precision", smallest=1e-8)),
        least=0.1,
    ),
    Check(
        name="11 loss",
        statement="at tolerance 0.1 parallel ends with more than twice the loss of augmented",
        measure=lambda records: _growth(records, "parallel")["loss"] / _growth(records, "augmented")["loss"],
        least=2.0,
    ),
    Check(
        name="11 ranks",
        statement="and with a smaller sum of ranks",
        measure=lambda records: (
            sum(_growth(records, "parallel")["ranks"]) - sum(_growth(records, "augmented")["ranks"])
        ),
        most=-1.0,
    ),
    Check(
        name="11 monotone",
        statement="no mode ends with a smaller rank at a smaller tolerance",
        measure=_shrinking_steps,
        most=0.0,
    ),
    *(
        Check(
            name=f"order {name}",
            statement=f"{name}: the error against the projected gradient flow is of order 1 in h, within 0.1",
            measure=lambda records, name=name: _slope(records.where(part="order", integrator=name)),
            least=0.9,
            most=1.1,
        )
        for name in _ALL
    ),
    *(
        Check(
            name=f"T6 {name} spread",
            statement=f"{name}: decays of the singular values change the error at equal h by a factor of 2 at most",
            measure=lambda records, name=name: _spread(records, name),
            most=2.0,
        )
        for name in _ALL
    ),
    *(
        Check(
            name=f"T6 {name} order",
            statement=f"{name}: with each decay the error falls at least with order 0.9 in h",
            measure=lambda records, name=name: _path_slope(records, name),
            least=0.9,
        )
        for name in _ALL
    ),
    *(
        Check(
            name=f"T6 {name} eps",
            statement=f"{name}: a normal component eps adds at most 5 eps to the error",
            measure=lambda records, name=name: _eps_constant(records, name),
            most=5.0,
        )
        for name in _ALL
    ),
    Check(
        name="T6 control",
        statement="Euler's method on core and factors errs 10 times more than any integrator at the fastest decay",
        measure=_stiff_factor,
        least=10.0,
    ),
    Check(
        name="T3 bound",
        statement="with truncation the error keeps within c1 eps + c2 h + c3 tau / h, its constants written out",
        measure=_bound_share,
        most=1.0,
    ),
    *(
        Check(
            name=f"T3 tau {tolerance:g}",
            statement=f"at tolerance {tolerance:g} the error at the smallest h is twice the best one or more",
            measure=lambda records, tolerance=tolerance: _turned(records, tolerance),
            least=2.0,
        )
        for tolerance in (1e-2, 1e-3)
    ),
    Check(
        name="T3 scaled",
        statement="with a tolerance that falls like h² the error goes on falling, at least with order 0.9",
        measure=_scheduled_slope,
        least=0.9,
    ),
)

"""What is checked of lazy training, and of descent that goes beyond it.

Axes: m components, d dimensions, l order, r components of the target.
"""

import math

from rankfold.studies._checks import Check
from rankfold.studies._records import Case, Record, Records

__all__ = ["CHECKS", "CORRELATIONS", "RANK", "SIZE"]

SIZE, RANK = 20, 5  # of the targets on which models are compared
CORRELATIONS = ((4, 3), (6, 3), (5, 4))  # dimensions and order


def _full_dimension(records: Records) -> float:
    """Share of the draws whose span has ``min(md, C(d+l-1, l))`` dimensions."""
    found = [
        dimension == min(row["count"] * row["size"], math.comb(row["size"] + row["order"] - 1, row["order"]))
        for row in records.where(part="lazy")
        for dimension in row["dimensions"]
    ]
    return sum(found) / len(found)


def _deviation(records: Records, order: int, size: int) -> float:
    """Largest distance of a residual from its prediction, where that is not 0."""
    rows = records.where(part="lazy", order=order, size=size)
    return max(abs(row["residual"] - row["predicted"]) for row in rows if row["predicted"] > 0)


def _exact_residual(records: Records) -> float:
    """Largest residual from ``md >= 1.05 C(d+l-1, l)`` on."""
    return max(row["residual"] for row in records.where(_is_enough, part="lazy"))


def _is_enough(case: Case) -> bool:
    total = math.comb(case["size"] + case["order"] - 1, case["order"])
    return case["count"] * case["size"] >= 1.05 * total


def _correlation_error(records: Records) -> float:
    """Largest distance from ``l! / (d (d+2) ... (d+2l-2))``."""
    return max(
        abs(
            row["smallest"]
            - math.factorial(row["order"]) / math.prod(range(row["size"], row["size"] + 2 * row["order"], 2))
        )
        for row in records.where(part="correlation")
    )


def _compared(records: Records, order: int, model: str, ratio: int, again: int | None) -> Record:
    (row,) = records.where(part="compared", order=order, model=model, ratio=ratio, again=again)
    return row


def _share(row: Record) -> float:
    return row["solved"] / row["runs"]


def _median_steps(row: Record) -> float:
    return math.inf if row["median"] is None else row["median"]


def _smallest_share(records: Records, size: int) -> float:
    return min(_share(row) for row in records.where(part="grid", size=size, ratio=6))


def _difference(records: Records) -> float:
    """Mean over m, r and l of the share of successes at d = 100 less that at d = 30."""
    small = records.where(part="grid", size=30)
    large = records.where(part="grid", size=100)
    pairs = {(row["order"], row["rank"], row["ratio"]): _share(row) for row in small}
    return sum(_share(row) - pairs[row["order"], row["rank"], row["ratio"]] for row in large) / len(large)


def _off_span(records: Records, order: int) -> float:
    """In units of ``sqrt(m) delta``; infinite where a run was not fitted, for then nothing bounds the time."""
    (row,) = records.where(part="off span", order=order)
    return row["largest"] if row["fitted"] == row["runs"] else math.inf


CHECKS = (
    Check(
        name="A1 dimension",
        statement="the linearised model spans min(md, C(d+l-1, l)) dimensions in every draw",
        measure=_full_dimension,
        least=1.0,
    ),
    *(
        Check(
            name=f"A1 residual l={order} d={size}",
            statement=(
                f"order {order}, {size} dimensions: its mean residual is 1 - md/C(d+l-1, l) within {tolerance:g}"
            ),
            measure=lambda records, order=order, size=size: _deviation(records, order, size),
            most=tolerance,
        )
        for order, size, tolerance in ((3, 8, 0.03), (3, 12, 0.03), (4, 8, 0.08))
    ),
    Check(
        name="A1 exact",
        statement="from md >= 1.05 C(d+l-1, l) on the residual is below 1e-10",
        measure=_exact_residual,
        most=1e-10,
    ),
    Check(
        name="A3",
        statement=(
            "a random direction meets any residual with l!/(d(d+2)...(d+2l-2)) of its square, within 1e-12"
        ),
        measure=_correlation_error,
        most=1e-12,
    ),
    *(
        check
        for order in (3, 4)
        for check in (
            Check(
                name=f"A4 m=4r l={order}",
                statement=(
                    f"order {order}: the 2-homogeneous model with m = 4r, small components drawn afresh, fits at least "
                    "9 of 10 targets"
                ),
                measure=lambda records, order=order: _share(_compared(records, order, "homogeneous", 4, 300)),
                least=0.9,
            ),
            Check(
                name=f"A4 steps l={order}",
                statement=f"order {order}: in at most 300 steps (median of those fitted)",
                measure=lambda records, order=order: _median_steps(
                    _compared(records, order, "homogeneous", 4, 300)
                ),
                most=300,
            ),
            Check(
                name=f"A4 m=r l={order}",
                statement=f"order {order}: with m = r it fits at most 5 of 10",
                measure=lambda records, order=order: _share(
                    _compared(records, order, "homogeneous", 1, None)
                ),
                most=0.5,
            ),
            Check(
                name=f"A4 lazy l={order}",
                statement=f"order {order}: the linearised model with as many (m = 4r = 20, d = 20) leaves over a half",
                measure=lambda records, order=order: records.where(
                    part="lazy", order=order, size=SIZE, count=4 * RANK
                )[0]["residual"],
                least=0.5,
            ),
            Check(
                name=f"A4 naive l={order}",
                statement=f"order {order}, control: the naive objective with m = r fits not all targets",
                measure=lambda records, order=order: _share(_compared(records, order, "naive", 1, None)),
                most=0.9,
            ),
        )
    ),
    *(
        Check(
            name=f"A4 d={size}",
            statement=f"d = {size}: m = 6r fits at least 19 of 20 targets at every rank and order",
            measure=lambda records, size=size: _smallest_share(records, size),
            least=0.95,
        )
        for size in (30, 100)
    ),
    # Four standard deviations of the mean of 24 such differences are below 0.13, were all shares 1/2; most are near 1.
    Check(
        name="A4 d=30 and d=100",
        statement=(
            "the number needed does not grow with d: the mean share of successes over all m, r and l differs by at "
            "most 0.1"
        ),
        measure=_difference,
        least=-0.1,
        most=0.1,
    ),
    *(
        Check(
            name=f"A6 l={order}",
            statement=(
                f"order {order}: until the relative loss is below 1e-3 nothing off the span of the target exceeds "
                "2 sqrt(m) delta (shown in units of sqrt(m) delta)"
            ),
            measure=lambda records, order=order: _off_span(records, order),
            most=2.0,
        )
        for order in (3, 4)
    ),
)

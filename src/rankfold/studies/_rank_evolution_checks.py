"""What is judged in the study on ranks over training."""

from itertools import pairwise
from math import log
from statistics import median

from rankfold.studies._checks import Check
from rankfold.studies._rank_evolution_parts import TRUE_RANK
from rankfold.studies._records import NotRun, Record, Records

__all__ = ["CHECKS"]


# -- a network -----------------------------------------------------------------------------------------


def _decays(records: Records) -> list[Record]:
    """Augmented runs from full ranks, those of one seed together and ordered by tolerance."""
    rows = records.where(part="training", integrator="augmented", start="full")
    return sorted(rows, key=lambda row: (row["seed"], row["core_steps"], row["tolerance"]))


def _rise_share(records: Records) -> float:
    """Sum of all rises of ranks as a share of the sum of all falls, largest over the runs."""
    shares = []
    for row in _decays(records):
        changes = [
            after - before for series in row["ranks"].values() for (_, before), (_, after) in pairwise(series)
        ]
        falls = -sum(change for change in changes if change < 0)
        shares.append(sum(change for change in changes if change > 0) / max(falls, 1))
    return max(shares)


def _not_faster(records: Records) -> float:
    """Places (layer, truncation) at which a larger tolerance has the larger ranks, as a share of all."""
    rows, worse, places = _decays(records), 0, 0
    for small, large in pairwise(rows):
        if small["seed"] != large["seed"] or small["core_steps"] != large["core_steps"]:
            continue
        for name, series in small["ranks"].items():
            pairs = list(zip(series, large["ranks"][name], strict=True))
            worse += sum(less < more for (_, less), (_, more) in pairs)
            places += len(pairs)
    if not places:
        raise NotRun("not part of this size")
    return worse / places


def _left(records: Records) -> float:
    """Sum of ranks at the end as a share of that at the start, largest over the tolerances of 0.1 and more."""
    return max(
        sum(series[-1][1] for series in row["ranks"].values())
        / sum(series[0][1] for series in row["ranks"].values())
        for row in _decays(records)
        if row["tolerance"] >= 0.1
    )


def _network_gap(records: Records) -> float:
    """Sum of ranks from below over that from above, at tolerance 0.1."""
    below, above = (
        [
            sum(series[-1][1] for series in row["ranks"].values())
            for row in records.where(
                part="training", integrator="augmented", start=start, tolerance=0.1, core_steps=10
            )
        ]
        for start in (2, "full")
    )
    return max(below) / min(above)


# -- teachers ------------------------------------------------------------------------------------------


def _cells(records: Records) -> list[Record]:
    return [cell for row in records.where(part="dead zone") for cell in row["runs"]]


def _broken(records: Records) -> float:
    return float(sum(cell["grew_first"] and not cell["allowed_first"] for cell in _cells(records)))


def _agreement(records: Records) -> float:
    cells = _cells(records)
    return sum(cell["grew"] == cell["predicted"] for cell in cells) / len(cells)


def _stuck_below(records: Records) -> float:
    """Cells a factor of 4 or more below the border in learning rate in which the rank grew all the same."""
    count = 0
    for row in records.where(part="dead zone"):
        border = row["border"] or 1.0
        count += sum(cell["grew"] for cell in row["runs"] if cell["rate"] <= border / 4)
    return float(count)


def _opened(records: Records) -> float:
    """Least learning rate that grows at the fewest core steps, over that at the most; smallest over tolerances."""
    rows = records.where(part="dead zone")
    few, many = min(row["core_steps"] for row in rows), max(row["core_steps"] for row in rows)
    factors = []
    for tolerance in {row["tolerance"] for row in rows}:
        least: dict[int, list[float]] = {few: [], many: []}
        for row in rows:
            if row["tolerance"] == tolerance and row["core_steps"] in least:
                least[row["core_steps"]] += [cell["rate"] for cell in row["runs"] if cell["grew"]][:1]
        if least[few] and least[many]:
            factors.append(median(least[few]) / median(least[many]))
    if not factors:
        raise NotRun("no tolerance at which the rank grows with the fewest core steps")
    return min(factors)


def _starts(records: Records, lr: float, tolerances: tuple[float, ...], start: int) -> list[int]:
    return [
        row["rank"]
        for t in tolerances
        for row in records.where(part="starts", lr=lr, tolerance=t, start=start)
    ]


def _ratios(records: Records) -> list[float]:
    return [row["augmented tolerance"] / row["parallel tolerance"] for row in records.where(part="matched")]


def _matched_losses(records: Records) -> float:
    """Loss of parallel over that of augmented where both have the wanted ranks, the middle in logarithms."""
    rows = [
        row
        for row in records.where(part="matched")
        if row["augmented ranks"] == row["parallel ranks"] == row["wanted"]
    ]
    if not rows:
        raise NotRun("no case in which both have the wanted ranks")
    return 2 ** median(log(row["parallel loss"] / row["augmented loss"], 2) for row in rows)


CHECKS = (
    Check(
        name="decay monotone",
        statement="from full ranks all rises together are at most 5 % of all falls",
        measure=_rise_share,
        most=0.05,
    ),
    Check(
        name="decay order",
        statement="a larger tolerance has the smaller ranks, or equal ones, in every layer at every time",
        measure=_not_faster,
        most=0.0,
    ),
    Check(
        name="decay amount",
        statement="from tolerance 0.1 on at most 80 % of the ranks are left",
        measure=_left,
        most=0.8,
    ),
    Check(
        name="starts network",
        statement="from rank 2 the network ends with at most 90 % of the ranks that it ends with from above",
        measure=_network_gap,
        most=0.9,
    ),
    Check(
        name="starts closed",
        statement="in the dead zone the teacher's rank is not found from rank 2: it stays",
        measure=lambda records: float(max(_starts(records, 0.004, (0.02, 0.05, 0.1), 2))),
        most=2.0,
    ),
    Check(
        name="starts closed above",
        statement="nor from above at tolerance 0.02: the student keeps more than the teacher has",
        measure=lambda records: float(min(_starts(records, 0.004, (0.02,), 24))),
        least=TRUE_RANK + 1.0,
    ),
    Check(
        name="starts open",
        statement="far outside it, at tolerances up to 0.05, both starts end with the teacher's rank",
        measure=lambda records: float(
            max(
                abs(rank - TRUE_RANK)
                for start in (2, 24)
                for rank in _starts(records, 0.1, (0.02, 0.05), start)
            )
        ),
        most=0.0,
    ),
    Check(
        name="dead zone condition",
        statement="no rank grows at the first truncation unless the new part exceeds tau / sqrt(d) of the norm",
        measure=_broken,
        most=0.0,
    ),
    Check(
        name="dead zone border",
        statement="the border from the start agrees with whether the rank ever grows in 80 % of the cells",
        measure=_agreement,
        least=0.8,
    ),
    Check(
        name="dead zone inside",
        statement="no rank ever grows at a quarter of the border's learning rate or less",
        measure=_stuck_below,
        most=0.0,
    ),
    Check(
        name="dead zone core steps",
        statement="with the most core steps a learning rate 4 times smaller suffices, at every tolerance",
        measure=_opened,
        least=4.0,
    ),
    Check(
        name="matched tolerance",
        statement="for equal ranks parallel needs a tolerance 2 to 10 times smaller, in the median",
        measure=lambda records: median(_ratios(records)),
        least=2.0,
        most=10.0,
    ),
    Check(
        name="matched smaller",
        statement="it needs a smaller one in nine of ten cases",
        measure=lambda records: sum(ratio > 1 for ratio in _ratios(records)) / len(_ratios(records)),
        least=0.9,
    ),
    Check(
        name="matched loss",
        statement="at equal ranks the losses of both agree within a factor of 2, in the median",
        measure=_matched_losses,
        least=0.5,
        most=2.0,
    ),
)

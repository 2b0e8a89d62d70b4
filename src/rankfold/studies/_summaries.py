"""Means over seeds, their errors, and the setting that does best: what tables and checks of trainings are made of."""

from collections.abc import Hashable, Iterable, Sequence
from statistics import mean, stdev

from rankfold.studies._records import Record

__all__ = ["at_best", "mean_of", "paired_gain", "standard_error"]


def mean_of(rows: Iterable[Record], name: str) -> float:
    """The mean of a measurement."""
    return mean(row[name] for row in rows)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; 0 of a single value."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def at_best(rows: Sequence[Record], setting: str, by: str, *, least: bool = False) -> list[Record]:
    """The records at the setting with the best mean, by seed.

    Arguments:
        rows: one for every value of the setting and every seed.
        setting: name of what was varied; of equal values the smaller is taken.
        by: name of the measurement that decides.
        least: whether the smallest mean is the best.

    Returns:
        The records of one value; none of none.

    Example:
        >>> rows = [{"rate": rate, "seed": seed, "held out": rate + seed} for rate in (1, 2) for seed in (1, 0)]
        >>> [(row["rate"], row["seed"]) for row in at_best(rows, "rate", "held out")]
        [(2, 0), (2, 1)]
    """
    groups: dict[Hashable, list[Record]] = {}
    for row in sorted(rows, key=lambda row: (row[setting], row["seed"])):
        value = row[setting]
        groups.setdefault(tuple(value) if isinstance(value, list) else value, []).append(row)
    choose = min if least else max
    return choose(groups.values(), key=lambda group: mean_of(group, by)) if groups else []


def paired_gain(rows: Sequence[Record], control: Sequence[Record], name: str) -> tuple[float, float]:
    """Mean of the differences of a measurement to a control, seed by seed, and its standard error."""
    pairs = zip(rows, control, strict=True)
    gains = [row[name] - other[name] for row, other in pairs if row["seed"] == other["seed"]]
    return mean(gains), standard_error(gains)

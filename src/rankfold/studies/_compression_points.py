"""From trainings to curves: the recipe that did best on held-out images, means over seeds, values in between."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, stdev

from rankfold.studies._records import NotRun, Record, Records

__all__ = ["HIGH", "Point", "accuracy_at", "curve", "deviation", "margin", "points", "published_margin"]

HIGH = 90.0  # percent; where the claim is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A method at one tolerance or share, at the recipe chosen for it.

    Arguments:
        network, method: names.
        point: tolerance of TDLRT, otherwise the share of parameters asked for.
        learning_rate, weight_decay: of the recipe with the best mean accuracy on held-out images.
        seeds: trainings in the means.
        accuracy, compression: means in percent.
        deviation: standard deviation of the accuracy over seeds; 0 for a single one.
        seconds: of training, mean.
        diverged: trainings that diverged, counted as guessing.
    """

    network: str
    method: str
    point: float
    learning_rate: float
    weight_decay: float
    seeds: int
    accuracy: float
    compression: float
    deviation: float
    seconds: float
    diverged: int

    @property
    def error(self) -> float:
        """Standard error of the accuracy."""
        return self.deviation / math.sqrt(self.seeds)


def points(rows: Iterable[Record]) -> list[Point]:
    """One point per network, method and tolerance or share, from the recipe that did best on held-out images.

    Arguments:
        rows: records of trainings.

    Returns:
        The points, by network and method in the order they come, then by compression.
    """
    grouped: dict[tuple[str, str, float], dict[tuple[float, float], list[Record]]] = {}
    for row in rows:
        recipes = grouped.setdefault((row["network"], row["method"], row["point"]), {})
        recipes.setdefault((row["learning_rate"], row["weight_decay"]), []).append(row)
    found = [
        _point(max(recipes.values(), key=lambda runs: mean(run["held_out_accuracy"] for run in runs)))
        for recipes in grouped.values()
    ]
    networks = list(dict.fromkeys(point.network for point in found))
    methods = list(dict.fromkeys(point.method for point in found))
    return sorted(
        found,
        key=lambda point: (networks.index(point.network), methods.index(point.method), point.compression),
    )


def _point(runs: Sequence[Record]) -> Point:
    accuracies = [run["accuracy"] for run in runs]
    return Point(
        network=runs[0]["network"],
        method=runs[0]["method"],
        point=runs[0]["point"],
        learning_rate=runs[0]["learning_rate"],
        weight_decay=runs[0]["weight_decay"],
        seeds=len(runs),
        accuracy=mean(accuracies),
        compression=mean(run["compression"] for run in runs),
        deviation=stdev(accuracies) if len(runs) > 1 else 0.0,
        seconds=mean(run["seconds"] for run in runs),
        diverged=sum(run["diverged"] for run in runs),
    )


def curve(records: Records, network: str, method: str) -> list[Point]:
    """The points of a method, all of whose trainings have to be there.

    Arguments:
        records: of the run.
        network, method: names.

    Returns:
        At least one point.

    Raises:
        NotRun: a training is missing, or the size has none of these.
    """
    return points(records.where(network=network, method=method))


def accuracy_at(line: Sequence[Point], compression: float) -> float:
    """Accuracy of a curve at a compression: linear between its points over the logarithm of what is kept.

    Arguments:
        line: points of a method, and the dense network as its end at a compression of 0.
        compression: in percent, below 100.

    Returns:
        The accuracy; beyond the most compressed point that of this point, which has the lower compression.
    """
    ordered = sorted(line, key=lambda point: point.compression)
    for less, more in pairwise(ordered):
        if less.compression <= compression <= more.compression:
            low, high, at = (_log_kept(c) for c in (less.compression, more.compression, compression))
            weight = 0.0 if low == high else (low - at) / (low - high)
            return less.accuracy + weight * (more.accuracy - less.accuracy)
    return ordered[-1].accuracy if compression > ordered[-1].compression else ordered[0].accuracy


def _log_kept(compression: float) -> float:
    return math.log(max(100 - compression, 1e-9))


def _high(records: Records, network: str) -> list[Point]:
    high = [point for point in curve(records, network, "tdlrt") if point.compression >= HIGH]
    if not high:
        raise NotRun(f"no tolerance reaches {HIGH:g} %")
    return high


def margin(records: Records, network: str, methods: Sequence[str]) -> float:
    """How far TDLRT lies above the best of other methods, where it is closest to it or farthest below.

    Arguments:
        records: of the run.
        network: its name.
        methods: the others; each is compared at the compression of each point of TDLRT at 90 % or more.

    Returns:
        The least difference of mean accuracies, in points of a percent.

    Raises:
        NotRun: a training is missing, or no tolerance reaches 90 %.
    """
    dense = curve(records, network, "dense")
    others = [[*curve(records, network, method), *dense] for method in methods]
    return min(
        point.accuracy - accuracy_at(other, point.compression)
        for point in _high(records, network)
        for other in others
    )


def deviation(records: Records, network: str, methods: Sequence[str]) -> float:
    """Mean standard deviation over seeds of TDLRT at 90 % and above, less that of other methods there.

    Arguments:
        records: of the run.
        network: its name.
        methods: the others.

    Returns:
        The difference in points of a percent; negative where TDLRT scatters less.

    Raises:
        NotRun: a training is missing, there is one seed only, or a method has no point there.
    """
    own = _high(records, network)
    rest = [p for name in methods for p in curve(records, network, name) if p.compression >= HIGH]
    if not rest or min(point.seeds for point in [*own, *rest]) < 2:
        raise NotRun("needs two seeds and points of the other methods at 90 % or more")
    return mean(point.deviation for point in own) - mean(point.deviation for point in rest)


def published_margin(
    records: Records, network: str, compression: float, accuracy: float, chosen: Callable[[Record], bool]
) -> float:
    """TDLRT's mean accuracy at its least compressed point beyond a published compression, less the published one.

    Arguments:
        records: of the run.
        network: its name.
        compression, accuracy: of the published point, in percent.
        chosen: the trainings that may be compared.

    Returns:
        The difference in points of a percent.

    Raises:
        NotRun: a training is missing, the size has none, or no tolerance reaches the compression.
    """
    rows = records.where(lambda case: chosen(dict(case)), network=network, method="tdlrt")
    reached = [point for point in points(rows) if point.compression >= compression]
    if not reached:
        raise NotRun(f"no tolerance reaches {compression:g} %")
    return min(reached, key=lambda point: point.compression).accuracy - accuracy

"""Orthogonal over-parameterised training: what the rotations keep, and whether they generalise better."""

from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._orthogonal_training_maps import block_episode, descent_drift, measured_map
from rankfold.studies._orthogonal_training_runs import METHODS, train
from rankfold.studies._plotting import COLOURS, line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ORTHOGONAL_TRAINING"]

_MAPS = ("cayley", "gram_schmidt", "householder", "loewdin")


def _cases(parameters: Parameters) -> list[Case]:
    seed, draws = parameters["seed"], parameters["draws"]
    cases: list[Case] = [
        {"part": "map", "map": name, "d": d, "neurons": 32, "draws": draws, "seed": seed}
        for name in _MAPS
        for d in parameters["sizes"]
    ]
    drift = {"d": 27, "rate": 0.01, "steps": 300, "draws": draws, "seed": seed}
    cases += [{"part": "drift", "iterations": count, **drift} for count in (1, 2, 3, 5, 10, 50, None)]
    cases += [
        {"part": "block", "d": d, "neurons": 32, "block": 0.25, "draws": draws, "seed": seed}
        for d in parameters["sizes"]
    ]
    cases += [
        {
            "part": "training",
            "data": data["name"],
            "method": method,
            "rate": rate,
            "seed": seed + number,
            **{name: value for name, value in data.items() if name != "name"},
        }
        for data in parameters["data"]
        for method in parameters["methods"]
        for rate in parameters["rates"]
        for number in range(parameters["seeds"])
    ]
    return cases


def _run(case: Case, setting: Setting) -> Record:
    if case["part"] == "training":
        return train(case, setting)
    return {"map": measured_map, "drift": descent_drift, "block": block_episode}[case["part"]](case)


def _values(rows: Iterable[Record], name: str) -> list[float]:
    return [value for row in rows for value in row[name]]


def _maps(records: Records, name: str, *maps: str) -> list[float]:
    rows = [row for wanted in maps or _MAPS for row in records.where(part="map", map=wanted)]
    return _values(rows, name)


def _farther(records: Records) -> float:
    """The largest ratio of the distance of Löwdin's matrix to the distance of another of the same draw."""
    nearest = _maps(records, "distance", "loewdin")
    others = [_maps(records, "distance", name) for name in _MAPS if name != "loewdin"]
    return max(one / two for other in others for one, two in zip(nearest, other, strict=True))


def _drift(records: Records, iterations: int | None) -> float:
    return max(_values(records.where(part="drift", iterations=iterations), "defect"))


def _at_best_rate(rows: Sequence[Record]) -> list[Record]:
    """The records at the rate with the best mean on what was held out, by seed; the lower rate where two are equal."""
    rates = sorted({row["rate"] for row in rows})
    if not rates:
        return []
    best = max(rates, key=lambda rate: mean(row["held out"] for row in rows if row["rate"] == rate))
    return sorted((row for row in rows if row["rate"] == best), key=lambda row: row["seed"])


def _data(records: Records) -> list[str]:
    return list(dict.fromkeys(case["data"] for case in records.cases if case["part"] == "training"))


def _turned(records: Records) -> list[str]:
    """The methods that turn neurons and keep the matrices orthogonal to rounding."""
    named = dict.fromkeys(case["method"] for case in records.cases if case["part"] == "training")
    return [name for name in named if METHODS[name].exact]


def _gains(records: Records, data: str, method: str, control: str) -> list[float]:
    """Test accuracy of a method above a control, seed by seed, each at its own best rate."""
    one, two = (
        _at_best_rate(records.where(part="training", data=data, method=name)) for name in (method, control)
    )
    return [a["test"] - b["test"] for a, b in zip(one, two, strict=True)]


def _chosen(records: Records, data: str) -> str:
    """The method that turns neurons and does best on what was held out."""
    return max(
        _turned(records),
        key=lambda name: mean(
            row["held out"] for row in _at_best_rate(records.where(part="training", data=data, method=name))
        ),
    )


def _gain_of_chosen(records: Records) -> float:
    """Mean gain over SGD less its standard error, of the chosen method; the least over data sets."""
    gains = [_gains(records, data, _chosen(records, data), "sgd") for data in _data(records)]
    return min(mean(gain) - _error(gain) for gain in gains)


def _least_gain(records: Records, control: str) -> float:
    return min(
        mean(_gains(records, data, name, control)) for data in _data(records) for name in _turned(records)
    )


def _error(values: Sequence[float]) -> float:
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _trained(records: Records, name: str, methods: Iterable[str]) -> list[float]:
    """A measurement of all runs of some methods at their best rates."""
    rows = [
        row
        for data in _data(records)
        for method in methods
        for row in _at_best_rate(records.where(part="training", data=data, method=method))
    ]
    return [float("inf") if row[name] is None else row[name] for row in rows]


_CHECKS = (
    Check(
        name="E1",
        statement="in float32 the four maps are orthogonal to 1e-5",
        measure=lambda records: max(_maps(records, "defect")),
        most=1e-5,
    ),
    Check(
        name="E2",
        statement="the four maps change the energies for s = 0, 1, 2 by less than 1e-6",
        measure=lambda records: max(_maps(records, "energy change")),
        most=1e-6,
    ),
    Check(
        name="E3 nearest",
        statement="no map is nearer to the free matrix than Löwdin's: largest ratio of distances",
        measure=_farther,
        most=1 + 1e-12,
    ),
    Check(
        name="E3 Newton-Schulz",
        statement="30 Newton-Schulz iterations end at Löwdin's matrix to 1e-10",
        measure=lambda records: max(_maps(records, "newton_schulz", "loewdin")),
        most=1e-10,
    ),
    Check(
        name="E4 two",
        statement="descent with 2 iterations drifts by at most 1e-3 in 300 steps",
        measure=lambda records: _drift(records, 2),
        most=1e-3,
    ),
    Check(
        name="E4 five",
        statement="with 5 iterations by at most 2e-8",
        measure=lambda records: _drift(records, 5),
        most=2e-8,
    ),
    Check(
        name="E4 fifty",
        statement="with 50 iterations by at most 1e-14",
        measure=lambda records: _drift(records, 50),
        most=1e-14,
    ),
    Check(
        name="E5",
        statement="merging R into V changes no output: largest difference",
        measure=lambda records: max(_trained(records, "merged", _turned(records))),
        most=0.0,
    ),
    Check(
        name="E6 outside",
        statement="a block at the identity and the coordinates outside a block are left alone: largest change",
        measure=lambda records: max(
            value for name in ("no-op", "outside") for value in _values(records.where(part="block"), name)
        ),
        most=0.0,
    ),
    Check(
        name="E6 energy",
        statement="a block keeps lengths and energies to 1e-6",
        measure=lambda records: max(
            value
            for name in ("length change", "energy change")
            for value in _values(records.where(part="block"), name)
        ),
        most=1e-6,
    ),
    Check(
        name="E7 Cayley",
        statement="eigenvalues of Cayley's map keep 2 / sqrt(1 + the squared norm of A) from -1: least ratio",
        measure=lambda records: min(_maps(records, "from -1", "cayley")),
        least=1 - 1e-9,
    ),
    Check(
        name="E7 reflections",
        statement="each of the other maps gives reflections too: least number of draws",
        measure=lambda records: min(
            sum(value < 0 for value in _maps(records, "determinant", name))
            for name in _MAPS
            if name != "cayley"
        ),
        least=1,
    ),
    Check(
        name="energy in training",
        statement="at the end of training the energies are those of the start to 1e-6 (float32)",
        measure=lambda records: max(_trained(records, "energy change", _turned(records))),
        most=1e-6,
    ),
    Check(
        name="control: SGD moves the energy",
        statement="plain SGD changes the energies by 1e-3 at least",
        measure=lambda records: min(_trained(records, "energy change", ["sgd"])),
        least=1e-3,
    ),
    Check(
        name="control: rotations learn",
        statement="every method that turns neurons tests better than convolutions left random: least mean gain",
        measure=lambda records: _least_gain(records, "frozen"),
        least=0.01,
    ),
    Check(
        name="generalises better",
        statement="the method chosen on held-out images tests better than plain SGD by a standard error at least",
        measure=_gain_of_chosen,
        least=0.0,
    ),
    Check(
        name="each generalises better",
        statement="no method that turns neurons tests worse than plain SGD in the mean: least mean gain",
        measure=lambda records: _least_gain(records, "sgd"),
        least=0.0,
    ),
)


def _tables(records: Records) -> list[Table]:
    trained: list[dict[str, Any]] = []
    for data in _data(records):
        for name, method in METHODS.items():
            rows = _at_best_rate(records.found(part="training", data=data, method=name))
            if not rows:
                continue
            tested = [row["test"] for row in rows]
            line = {"data": data, "method": method.title, "rate": rows[0]["rate"], "seeds": len(rows)}
            line |= {
                f"{part} %": 100 * mean(row[part] for row in rows) for part in ("train", "held out", "test")
            }
            line["standard error"] = 100 * _error(tested)
            line |= {name: _largest(rows, name) for name in ("energy change", "defect")}
            trained.append(line)
    maps = [
        {
            "map": row["map"],
            "d": row["d"],
            "defect in float32": max(row["defect"]),
            "energy change": max(row["energy change"]),
            "mean distance": mean(row["distance"]),
            "reflections": f"{sum(value < 0 for value in row['determinant'])} of {len(row['determinant'])}",
        }
        for row in records.found(part="map")
    ]
    drifts = [
        {
            "iterations": "exact" if row["iterations"] is None else str(row["iterations"]),
            "largest defect": max(row["defect"]),
            "mean distance to the target": mean(row["distance"]),
        }
        for row in records.found(part="drift")
    ]
    rates = [
        {"data": data, "method": METHODS[name].title}
        | {
            f"{rate:g}": 100 * mean(row["held out"] for row in rows if row["rate"] == rate)
            for rate in sorted({row["rate"] for row in rows})
        }
        for data in _data(records)
        for name in METHODS
        if (rows := records.found(part="training", data=data, method=name))
    ]
    return [
        Table("Trained networks, each method at the rate that does best on held-out images", trained),
        Table("Held-out accuracy in percent by learning rate", rates),
        Table("Maps of random matrices", maps),
        Table("Drift of 300 steps of descent on the group, by fixed-point iterations", drifts),
    ]


def _largest(rows: Sequence[Record], name: str) -> float | None:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1.1, 1))
    names = [name for name in METHODS if records.found(part="training", method=name)]
    for index, data in enumerate(_data(records)):
        rows = {name: _at_best_rate(records.found(part="training", data=data, method=name)) for name in names}
        points = [(row["test"], place) for place, name in enumerate(names) for row in rows[name]]
        shift = 0.2 * index
        style = {"linestyle": "none", "color": COLOURS[index], "label": data, "markersize": 4}
        if points:
            left.plot(
                [100 * x for x, _ in points], [y + shift for _, y in points], marker="o", alpha=0.6, **style
            )
        changes = [(_largest(rows[name], "energy change"), place) for place, name in enumerate(names)]
        drawn = [(x, y + shift) for x, y in changes if x]
        if drawn:
            middle.plot([x for x, _ in drawn], [y for _, y in drawn], marker="s", **style)
            middle.axvline(1e-6, color="0.5", linewidth=0.8)
    left.set(xlabel="test accuracy in percent, a point a seed", ylabel="how the convolutions are trained")
    left.set_yticks(range(len(names)), labels=[METHODS[name].title for name in names], fontsize=7)
    middle.set(xlabel="largest relative change of the energy", ylabel="method", xscale="log")
    middle.set_yticks(range(len(names)), labels=[""] * len(names))
    if names:
        left.legend(fontsize=7)
        for axes in (left, middle):
            axes.set_ylim(len(names) - 0.5, -0.5)
    drift = [row for row in records.found(part="drift") if row["iterations"] is not None]
    if drift:
        places = [row["iterations"] for row in drift]
        right.plot(places, [max(row["defect"]) for row in drift], **line_style(0))
    right.set(xlabel="fixed-point iterations", ylabel="drift after 300 steps", xscale="log", yscale="log")


_DIGITS = {
    "name": "digits",
    "images": 1137,
    "held out images": 300,
    "channels": 16,
    "epochs": 6,
    "batch size": 64,
}
_FASHION = {
    "name": "fashion_mnist",
    "images": 12000,
    "held out images": 3000,
    "channels": 16,
    "epochs": 8,
    "batch size": 64,
}
_QUICK = ["sgd", "frozen", "cayley", "householder", "stochastic", "descent", "penalty"]

ORTHOGONAL_TRAINING = Study(
    name="orthogonal-training",
    title="Rotations of random neurons instead of trained neurons",
    claim=(
        "Turning the fixed random neurons of each layer by one learned orthogonal matrix keeps their hyperspherical "
        "energy and generalises better than training the neurons themselves."
    ),
    paper=("Liu, Lin, Liu, Rehg, Paull, Xiong, Song, Weller 2021, Orthogonal Over-Parameterized Training"),
    quick={
        "seed": 0,
        "seeds": 5,
        "draws": 5,
        "sizes": [9, 27, 64],
        "methods": _QUICK,
        "rates": [0.02, 0.1, 0.5],
        "data": [_DIGITS],
    },
    full={
        "seed": 0,
        "seeds": 5,
        "draws": 20,
        "sizes": [9, 27, 64, 144],
        "methods": list(METHODS),
        "rates": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
        "data": [_DIGITS, _FASHION],
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "Every method has the same network, Gaussian neurons of the same seed, batches, epochs, momentum 0.9, cosine "
        "schedule, no weight decay, and the same learning rates to choose from, by the mean over seeds on held-out "
        "images; test images decide nothing.",
        "The paper trains a larger network on CIFAR-100; its figures are no part of this study, whose digits and "
        "small images can only show whether the claim carries over.",
        "Free matrices start at the identity. The batch normalisation and the classifier are trained as usual.",
        "Methods that turn neurons are those whose matrices are orthogonal to rounding; descent with 2 iterations and "
        "the penalty are shown beside them and are no part of the checks on accuracy and energy.",
        "A block is drawn anew after every epoch. Gram-Schmidt and Löwdin take longest and are trained in the full "
        "size only.",
        "The bounds of E4 are choices of ours, at the order of magnitude that one draw gave; what the method promises "
        "is the fall from row to row.",
    ),
)

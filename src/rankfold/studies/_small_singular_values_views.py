"""Tables and figure of the study of small singular values, and the published figures."""

from collections.abc import Sequence
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from rankfold.studies._decaying_starts import WAYS
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PUBLISHED", "accuracy_after", "plot", "tables"]

# Test accuracy in percent by decay and epoch, means of ten runs: raw results of the authors of Schotthöfer et al. 2022,
# "Low-rank lottery tickets", COMPiLELab/DLRT-Net, UV_vanilla/results_vanilla.
PUBLISHED = {
    "matrix DLRT": {
        1.0: {1: 81.0, 2: 90.0, 4: 94.0, 9: 96.7, 19: 97.8},
        2.0: {1: 56.0, 2: 84.0, 4: 92.1, 9: 95.9, 19: 97.2},
        10.0: {1: 39.1, 2: 77.8, 4: 90.7, 9: 95.7, 19: 97.1},
    },
    "U Vᵀ by SGD": {
        1.0: {1: 32.6, 2: 49.3, 4: 74.1, 9: 88.7, 19: 93.5},
        2.0: {1: 17.2, 2: 21.1, 4: 42.8, 9: 77.0, 19: 90.3},
        10.0: {1: 16.0, 2: 20.8, 4: 29.3, 9: 55.3, 19: 85.1},
    },
}
_EPOCHS = (1, 2, 4, 9, 19)

# Learning rate x steps of one epoch of the paper: 60,000 images in batches of 128 at 0.01.
_EPOCH = 0.01 * 469


def accuracy_after(row: Record, epochs: int) -> float | None:
    """Accuracy of a run after the learning rate x steps of so many epochs of the paper; None if it ended before."""
    needed = epochs * _EPOCH * (1 - 1e-9)
    return next((accuracy for step, accuracy in row["curve"] if row["rate"] * step >= needed), None)


def _rounded(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(mean(known), 1) if known and len(known) == len(values) else None


def tables(records: Records) -> list[Table]:
    """Accuracies beside the published ones, learning rates at the largest decay, the quadratic."""
    trainings = records.found(part="training")
    return [
        Table(
            "Test accuracy in %, after the learning rate x steps of so many epochs of the paper",
            [
                row
                for decay in sorted({row["decay"] for row in trainings})
                for row in _compared(records, decay)
            ],
        ),
        Table("Test accuracy in % at the end, from decay 10, by learning rate", _rates(records)),
        Table(
            "Quadratic: loss after 200 steps, as a share of the squared norm of the target",
            _quadratic(records),
        ),
    ]


def _compared(records: Records, decay: float) -> list[dict[str, Any]]:
    rows = []
    for way in WAYS.values():
        runs = records.found(part="training", way=way.name, decay=decay, common=True)
        if runs:
            columns = {f"epoch {n}": _rounded([accuracy_after(run, n) for run in runs]) for n in _EPOCHS}
            rows.append({"decay": decay, "method": way.label, "runs": len(runs), **columns})
    for label, published in PUBLISHED.items():
        columns = {f"epoch {n}": value for n, value in published.get(decay, {}).items()}
        if columns:
            rows.append({"decay": decay, "method": f"{label}, published", "runs": 10, **columns})
    return rows


def _rates(records: Records) -> list[dict[str, Any]]:
    rows = []
    for way in WAYS.values():
        runs = records.found(part="training", way=way.name, decay=10.0)
        rates = sorted({run["rate"] for run in runs})
        if len(rates) > 1:
            columns = {
                f"rate {rate:g}": _rounded([run["accuracy"] for run in runs if run["rate"] == rate])
                for rate in rates
            }
            rows.append({"method": way.label, **columns})
    return rows


def _quadratic(records: Records) -> list[dict[str, Any]]:
    return [
        {
            "decay": row["decay"],
            "method": "plain descent on U, S, V" if row["way"] == "direct" else f"integrator {row['way']}",
            "draws": len(row["losses"]),
            "median": f"{median(row['losses']):.0e}",
            "worst": f"{max(row['losses']):.0e}",
        }
        for row in sorted(records.found(part="quadratic"), key=lambda row: row["decay"])
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Test accuracy over training steps, one panel per decay."""
    trainings = records.found(part="training")
    decays = sorted({row["decay"] for row in trainings})
    figure.set_size_inches(8, 3.6)
    panels = figure.subplots(1, max(len(decays), 1), sharey=True, squeeze=False)[0]
    for axes, decay in zip(panels, decays, strict=False):
        for index, way in enumerate(WAYS.values()):
            runs = records.found(part="training", way=way.name, decay=decay, common=True)
            if runs:
                steps, accuracies = _mean_curve(runs)
                axes.plot(steps, accuracies, label=way.label, **line_style(index))
        axes.set_xlim(left=0)
        axes.set(xlabel="training steps", ylim=(0, 100), title=f"singular values times {decay:g}$^{{-k}}$")
    panels[0].set_ylabel("test accuracy in %")
    handles, labels = panels[-1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _mean_curve(runs: Sequence[Record]) -> tuple[list[float], list[float]]:
    """Means over the runs at the steps that all of them reached."""
    curves = [dict(map(tuple, run["curve"])) for run in runs]
    steps = sorted(set(curves[0]).intersection(*curves[1:]))
    return steps, [mean(curve[step] for curve in curves) for step in steps]

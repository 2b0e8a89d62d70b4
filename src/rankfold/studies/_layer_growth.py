"""New layers for a trained transformer: predicted ones against copies, means, zeros and random numbers."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._layer_growth_runs import METHODS, grow
from rankfold.studies._plotting import COLOURS
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LAYER_GROWTH"]

_SETTINGS = ("paper", "notebook")


def _cases(parameters: Parameters) -> list[Case]:
    size = {name: parameters[name] for name in ("layers", "places", "width", "base steps", "steps")}
    return [
        {"method": method, **size, "seed": seed}
        for seed in range(parameters["seed"], parameters["seed"] + parameters["seeds"])
        for method in METHODS
    ]


def _losses(records: Records, method: str, when: str) -> list[float]:
    return [row[when] for row in records.where(method=method)]


def _gains(records: Records, method: str, other: str, when: str) -> list[float]:
    """How much lower the loss of a method is than that of another, seed by seed."""
    pairs = zip(_losses(records, method, when), _losses(records, other, when), strict=True)
    return [theirs - own for own, theirs in pairs]


def _least_gain(records: Records, other: str, when: str) -> float:
    """The mean gain of predicted blocks over another method, of the better one of the two settings."""
    return max(mean(_gains(records, f"predicted, {name}", other, when)) for name in _SETTINGS)


def _over_random(records: Records, setting: str) -> float:
    """The mean gain of predicted blocks over random ones of the same norms after training, less its standard error."""
    gains = _gains(records, f"predicted, {setting}", f"random, norms of {setting}", "trained")
    return mean(gains) - (stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0)


def _errors(records: Records, setting: str) -> list[float]:
    rows = records.where(method=f"predicted, {setting}")
    errors = [one["error"] for row in rows for one in row["predictions"].values()]
    return [float("inf") if error is None else error for error in errors]


_CHECKS = (
    Check(
        name="F1 joint SVD",
        statement="every matrix is its part of the joint SVD, in float64: largest relative error",
        measure=lambda records: max(row["joint"]["exact"] for row in records.where(method="mean")),
        most=1e-12,
    ),
    Check(
        name="F2 identity",
        statement="blocks inserted as identity change no logit: largest change",
        measure=lambda records: max(row["moved"] for row in records.where(method="identity")),
        most=1e-6,
    ),
    Check(
        name="F3 mean",
        statement="the mean of two coefficients gives the mean of the two matrices: largest relative error",
        measure=lambda records: max(row["joint"]["mean"] for row in records.where(method="mean")),
        most=1e-5,
    ),
    *(
        Check(
            name=f"{title} than {other}",
            statement=(
                f"{when} predicted blocks have a lower loss than {words}, in the better one of two settings: mean gain "
                "in nats"
            ),
            measure=lambda records, other=other, key=key: _least_gain(records, other, key),
            least=0.0,
        )
        for title, when, key in (
            ("starts better", "before training", "inserted"),
            ("ends better", "after training", "trained"),
        )
        for other, words in (("copy", "copied ones"), ("identity", "those that begin as the identity"))
    ),
    *(
        Check(
            name=f"control: zero, {setting}",
            statement=(
                f"settings of the {setting}: on layers not seen every matrix is predicted better than by zero, which "
                "gives 1: largest error"
            ),
            measure=lambda records, setting=setting: max(_errors(records, setting)),
            most=0.95,
        )
        for setting in _SETTINGS
    ),
    *(
        Check(
            name=f"control: random, {setting}",
            statement=(
                f"settings of the {setting}: predicted blocks end better than random ones of the same norms by a "
                "standard error at least"
            ),
            measure=lambda records, setting=setting: _over_random(records, setting),
            least=0.0,
        )
        for setting in _SETTINGS
    ),
)


def _tables(records: Records) -> list[Table]:
    rows: list[dict[str, Any]] = []
    for method in METHODS:
        found = records.found(method=method)
        if not found:
            continue
        gains = [row["base"] - row["trained"] for row in found]
        rows.append(
            {
                "new blocks": method,
                "seeds": len(found),
                "loss before": mean(row["base"] for row in found),
                "with the new blocks": mean(row["inserted"] for row in found),
                "after training them": mean(row["trained"] for row in found),
                "gain": mean(gains),
                "standard error": stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None,
                "norm over the block before": mean(row["norm"] for row in found),
            }
        )
    predicted = [
        {"settings": setting, "matrix": name}
        | {
            "error, least": min(row["predictions"][name]["error"] for row in found),
            "error, largest": max(row["predictions"][name]["error"] for row in found),
            "norm": mean(row["predictions"][name]["norm"] for row in found),
        }
        for setting in _SETTINGS
        if (found := _judged(records.found(method=f"predicted, {setting}")))
        for name in found[0]["predictions"]
    ]
    return [
        Table("Loss on held-out text, nats per character", rows),
        Table("Predictions of layers not seen: squared error over that of zero, and norm", predicted),
    ]


def _judged(rows: Sequence[Record]) -> list[Record]:
    """Those with layers enough to hold one out."""
    return [
        row
        for row in rows
        if row["predictions"] and all(one["error"] is not None for one in row["predictions"].values())
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.6)
    losses, errors = figure.subplots(1, 2, width_ratios=(1.4, 1))
    shown = [method for method in METHODS if records.found(method=method)]
    for index, (key, label) in enumerate((("inserted", "inserted"), ("trained", "after training them"))):
        points = [
            (row[key] - row["base"], place)
            for place, method in enumerate(shown)
            for row in records.found(method=method)
        ]
        style = {"linestyle": "none", "color": COLOURS[index], "marker": "os"[index], "markersize": 5}
        losses.plot([x for x, _ in points], [y + 0.15 * index for _, y in points], label=label, **style)
    losses.axvline(0, color="0.5", linewidth=0.8)
    losses.set_yticks(range(len(shown)), labels=shown)
    losses.set(xlabel="loss above that of the trained model, nats per character", ylabel="new blocks")
    if shown:
        losses.set_ylim(len(shown) - 0.5, -0.5)
        losses.legend(fontsize=7)
    names: list[str] = []
    for index, setting in enumerate(_SETTINGS):
        rows = _judged(records.found(method=f"predicted, {setting}"))
        names = names or list(rows[0]["predictions"] if rows else ())
        points = [
            (place, row["predictions"][name]["error"]) for row in rows for place, name in enumerate(names)
        ]
        style = {"linestyle": "none", "color": COLOURS[index], "marker": "os"[index], "markersize": 5}
        errors.plot([x for x, _ in points], [y for _, y in points], label=f"settings: {setting}", **style)
    errors.axhline(1, color="0.5", linewidth=0.8)
    errors.set_xticks(range(len(names)), labels=[name.removesuffix(".weight") for name in names])
    errors.set(xlabel="matrix", ylabel="squared error on layers not seen (zero: 1)")
    errors.legend(fontsize=7)


LAYER_GROWTH = Study(
    name="layer-growth",
    title="Predicted layers for deeper transformers",
    claim=(
        "The weights of a layer between two trained ones can be predicted from theirs in a common singular basis, and "
        "blocks inserted in that way start and end better than copies or blocks that begin as the identity."
    ),
    paper="Yang et al. 2025, LESA: Learnable LLM Layer Scaling-Up",
    quick={
        "seed": 0,
        "seeds": 3,
        "layers": 8,
        "places": [3, 4, 5],
        "width": 48,
        "base steps": 450,
        "steps": 40,
    },
    full={
        "seed": 0,
        "seeds": 5,
        "layers": 12,
        "places": [4, 5, 6, 7],
        "width": 64,
        "base steps": 3000,
        "steps": 300,
    },
    cases=_cases,
    run=grow,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The paper grows language models of billions of parameters; this is a model of characters that learns the "
        "texts of Python's help, so it can only show whether the method works for what it is said to rest on, and the "
        "text differs a little between versions of Python.",
        "Only new blocks are trained, as in the paper, with AdamW at one rate for all methods.",
        "Settings of the paper are 5 epochs and a weight of 5e-5 for norms, those of its notebook 10 epochs and 5e-4.",
        "The control that decides: blocks of normal numbers, each matrix with the norm that was predicted. Where these "
        "do as well, it is the small norm that helps, not the prediction.",
    ),
)

"""One small core for a stack of equal layers: what t-CUR keeps of a tensor, and what it learns as an adapter."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._stacked_cur_runs import LAYERS, METHODS, adapt, stacked_rank
from rankfold.studies._stacked_cur_tensors import compare_tensors
from rankfold.studies._study import Parameters, Setting, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STACKED_CUR"]

_TRANSFORMS = ("fft", "dct", "none")
_TUBAL_RANK = 5
_ADAPTERS = ("low rank", "fft", "none", "random")


def _cases(parameters: Parameters) -> list[Case]:
    seeds = range(parameters["seed"], parameters["seed"] + parameters["seeds"])
    tensors: list[Case] = [
        {
            "part": "tensor",
            "transform": transform,
            "noise": noise,
            "rank": rank,
            "tubal rank": _TUBAL_RANK,
            "shape": [30, 25, 8],
            "seed": seed,
        }
        for transform in _TRANSFORMS
        for noise, rank in ((0.0, _TUBAL_RANK), (parameters["noise"], _TUBAL_RANK), (parameters["noise"], 1))
        for seed in seeds
    ]
    size = {name: parameters[name] for name in ("images", "epochs")}
    adapters: list[Case] = [
        {"part": "adapters", "method": method, "rank": rank, "rate": rate, **size, "seed": seed}
        for seed in seeds
        for method in METHODS
        for rank in (parameters["ranks"] if method in _ADAPTERS else (None,))
        for rate in (parameters["rates"] if method != "frozen" else (None,))
    ]
    return tensors + adapters


def _run(case: Case, setting: Setting) -> Record:
    return compare_tensors(case) if case["part"] == "tensor" else adapt(case, setting)


def _tensors(
    records: Records, *, exact: bool, rank: int, transforms: Sequence[str] = _TRANSFORMS
) -> list[Record]:
    return records.where(
        lambda case: (
            case["part"] == "tensor"
            and case["transform"] in transforms
            and (case["noise"] == 0) == exact
            and case["rank"] == rank
        )
    )


def _stacked(records: Records) -> list[Record]:
    return records.where(lambda case: case["part"] == "adapters" and case["method"] in _TRANSFORMS)


def _ranks(records: Records) -> list[int]:
    return list(dict.fromkeys(c["rank"] for c in records.cases if c["part"] == "adapters" and c["rank"]))


def _at_best_rate(rows: Sequence[Record]) -> list[Record]:
    """The records at the rate with the best mean on held-out images, by seed; the first rate where two are equal."""
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    if not rates:
        return []
    best = max(rates, key=lambda rate: mean(row["held out"] for row in rows if row["rate"] == rate))
    return sorted((row for row in rows if row["rate"] == best), key=lambda row: row["seed"])


def _gains(records: Records, one: str, two: str, rank: int) -> list[float]:
    """Test accuracy of a method above another's, seed by seed, each at its own best rate."""
    first, second = (
        _at_best_rate(records.where(part="adapters", method=name, rank=rank if name in _ADAPTERS else None))
        for name in (one, two)
    )
    return [a["test"] - b["test"] for a, b in zip(first, second, strict=True)]


def _worst_gain(records: Records, one: str, two: str) -> float:
    """Mean gain less its standard error, at the rank where that is least."""
    gains = [_gains(records, one, two, rank) for rank in _ranks(records)]
    return min(mean(gain) - (stdev(gain) / len(gain) ** 0.5 if len(gain) > 1 else 0.0) for gain in gains)


def _against_svd(records: Records) -> float:
    return max(row["t-CUR"] / row["t-SVD"] for row in _tensors(records, exact=False, rank=_TUBAL_RANK))


def _shuffled(records: Records, transforms: Sequence[str]) -> list[float]:
    """By how much the error changes where slices are shuffled, relative to it."""
    rows = _tensors(records, exact=False, rank=_TUBAL_RANK, transforms=transforms)
    return [abs(row["shuffled"] / row["t-CUR"] - 1) for row in rows]


_CHECKS = (
    Check(
        name="F1",
        statement="tensors of tubal rank 5 are recovered from 5 columns and 5 rows: largest relative error",
        measure=lambda records: max(row["t-CUR"] for row in _tensors(records, exact=True, rank=_TUBAL_RANK)),
        most=1e-10,
    ),
    Check(
        name="F2",
        statement="with noise the projected core errs less than the inverse of the crossing: largest ratio",
        measure=lambda records: max(
            row["t-CUR"] / row["crossing"] for row in _tensors(records, exact=False, rank=_TUBAL_RANK)
        ),
        most=1.0,
    ),
    Check(
        name="F3",
        statement="with noise t-CUR errs at most twice as much as the t-SVD: largest ratio",
        measure=_against_svd,
        most=2.0,
    ),
    Check(
        name="F4 fft",
        statement="under the FFT the order of the slices matters: it changes the error by 10 % at least",
        measure=lambda records: min(_shuffled(records, ["fft"])),
        least=0.1,
    ),
    Check(
        name="F4 none",
        statement="without a transform the order does not matter: largest relative change of the error",
        measure=lambda records: max(_shuffled(records, ["none"])),
        most=1e-12,
    ),
    Check(
        name="F5 parameters",
        statement=f"a stacked adapter trains rank² numbers for each of {LAYERS} layers: largest difference",
        measure=lambda records: max(
            abs(row["parameters"] - LAYERS * stacked_rank(row["rank"]) ** 2) for row in _stacked(records)
        ),
        most=0.0,
    ),
    Check(
        name="F5 start",
        statement="attaching it changes no output: largest change",
        measure=lambda records: max(row["attached"] for row in _stacked(records)),
        most=0.0,
    ),
    Check(
        name="F5 trains",
        statement="one step changes the weight of every layer, where the released script changes none: least change",
        measure=lambda records: min(row["first step"] for row in _stacked(records)),
        least=1e-6,
    ),
    Check(
        name="adapts",
        statement="the stacked adapter tests 10 points better on turned digits than the frozen network",
        measure=lambda records: _worst_gain(records, "fft", "frozen"),
        least=0.1,
    ),
    Check(
        name="better than low rank",
        statement=(
            "with as many trained numbers it tests better than low-rank adapters by a standard error at least, at "
            "every size"
        ),
        measure=lambda records: _worst_gain(records, "fft", "low rank"),
        least=0.0,
    ),
    Check(
        name="control: sharing",
        statement="it tests better than with each layer by itself, by a standard error at least, at every size",
        measure=lambda records: _worst_gain(records, "fft", "none"),
        least=0.0,
    ),
    Check(
        name="control: own columns",
        statement=(
            "each layer by itself, cores between its own columns and rows test better than between random bases by a "
            "standard error at least, at every size"
        ),
        measure=lambda records: _worst_gain(records, "none", "random"),
        least=0.0,
    ),
)


def _tables(records: Records) -> list[Table]:
    adapted: list[dict[str, Any]] = []
    for method, title in METHODS.items():
        for rank in _ranks(records) if method in _ADAPTERS else [None]:
            rows = _at_best_rate(records.found(part="adapters", method=method, rank=rank))
            if not rows:
                continue
            tested = [100 * row["test"] for row in rows]
            adapted.append(
                {
                    "what is trained": title,
                    "rank": None if rank is None else rank if method == "low rank" else stacked_rank(rank),
                    "numbers": rows[0]["parameters"],
                    "rate": rows[0]["rate"],
                    "seeds": len(rows),
                    "held out %": 100 * mean(row["held out"] for row in rows),
                    "test %": mean(tested),
                    "standard error": stdev(tested) / len(tested) ** 0.5 if len(tested) > 1 else None,
                }
            )
    tensors: list[dict[str, Any]] = []
    for transform in _TRANSFORMS:
        found = records.found(part="tensor", transform=transform)
        for noise, rank in dict.fromkeys((row["noise"], row["rank"]) for row in found):
            rows = [row for row in found if (row["noise"], row["rank"]) == (noise, rank)]
            errors = {
                name: mean(row[key] for row in rows)
                for name, key in (
                    ("t-SVD", "t-SVD"),
                    ("t-CUR", "t-CUR"),
                    ("core by the crossing", "crossing"),
                    ("t-CUR, slices shuffled", "shuffled"),
                )
            }
            tensors.append({"transform": transform, "noise": noise, "rank": rank} | errors)
    return [
        Table("Turned digits, each method at the rate that does best on held-out images", adapted),
        Table("Mean relative errors on tensors of tubal rank 5 and noise", tensors),
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.6)
    tests, errors = figure.subplots(1, 2, width_ratios=(1.2, 1))
    for index, method in enumerate(_ADAPTERS):
        groups = [
            rows
            for rank in _ranks(records)
            if (rows := _at_best_rate(records.found(part="adapters", method=method, rank=rank)))
        ]
        if groups:
            shares = [[100 * row["test"] for row in rows] for rows in groups]
            tests.errorbar(
                [rows[0]["parameters"] for rows in groups],
                [mean(values) for values in shares],
                [stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0 for values in shares],
                label=METHODS[method],
                capsize=2,
                **line_style(index),
            )
    rows = _at_best_rate(records.found(part="adapters", method="full"))
    if rows:
        share = 100 * mean(row["test"] for row in rows)
        tests.axhline(share, color="0.5", linestyle="--", linewidth=1, label=METHODS["full"])
    tests.set(xscale="log", xlabel="trained numbers", ylabel="test accuracy on turned digits in percent")
    if tests.get_legend_handles_labels()[0]:
        tests.legend(fontsize=7)
    kinds = ("t-SVD", "t-CUR", "crossing", "shuffled")
    for index, transform in enumerate(_TRANSFORMS):
        rows = [
            row for row in records.found(part="tensor", transform=transform, rank=_TUBAL_RANK) if row["noise"]
        ]
        if rows:
            values = [mean(row[kind] for row in rows) for kind in kinds]
            errors.plot(
                range(len(kinds)), values, label=transform, **{**line_style(index), "linestyle": "none"}
            )
    errors.set_xticks(
        range(len(kinds)), labels=["t-SVD", "t-CUR", "core by crossing", "t-CUR, shuffled"], fontsize=7
    )
    errors.set(xlabel="how the tensor is written", ylabel="mean relative error with noise", yscale="log")
    if errors.get_legend_handles_labels()[0]:
        errors.legend(fontsize=7, title="transform")


STACKED_CUR = Study(
    name="stacked-cur",
    title="One small core for many layers",
    claim=(
        "Equal weights of many layers stacked to a tensor are well kept by some of its columns and rows, and training "
        "only the small core between these adapts a network better than low-rank adapters with as many numbers."
    ),
    paper=(
        "He, Cheng, Zhu, Cai, Yu 2025, tCURLoRA: Tensor CUR Decomposition Based Low-Rank Parameter Adaptation for "
        "Medical Image Segmentation"
    ),
    quick={
        "seed": 0,
        "seeds": 5,
        "noise": 0.1,
        "ranks": [1, 2, 4],
        "rates": [0.001, 0.003, 0.01, 0.03, 0.1],
        "images": 300,
        "epochs": 20,
    },
    full={
        "seed": 0,
        "seeds": 10,
        "noise": 0.1,
        "ranks": [1, 2, 4, 8],
        "rates": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
        "images": 300,
        "epochs": 60,
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The paper adapts a network of medical images and trains its decoder too; here the layers of a perceptron of "
        "digits learn digits turned by 90 degrees from 300 images, and the classifier stays as it is.",
        "The released script of the paper leaves the core out of the optimiser, so its figures say nothing about the "
        "adapter; F5 is the test that finds this.",
        "Every method has the same networks, images, epochs and Adam, and the rate that does best on held-out images. "
        "Low-rank adapters are this library's U S V^T, trained by Adam like the others and not by TDLRT; stacked ones "
        "get the rank whose cores have nearest to as many numbers.",
        "Where cores between random bases do as well, it is the shape of the adapter that helps, a square core where a "
        "low-rank adapter of as many numbers has a far smaller rank, and neither the columns of the weights nor the "
        "stack.",
        "Random bases are orthonormal, the columns and rows of weights are not: what Adam makes of a core depends on "
        "their lengths, for which the sweep of rates is to make up.",
    ),
)

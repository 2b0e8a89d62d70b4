"""Weights scaled by the curvature of the loss: exact checks, depth and scale, and trainings beside He's start."""

from itertools import pairwise

from rankfold.studies._checks import Check
from rankfold.studies._hessian_init_exact import exact_norms, factorised_block, swept_norms
from rankfold.studies._hessian_init_training import STARTS, train
from rankfold.studies._hessian_init_views import best, plot, tables, usable_rates
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study
from rankfold.studies._summaries import mean_of, paired_gain

__all__ = ["HESSIAN_INIT"]

_DEEPEST = 16


def _cases(parameters: Parameters) -> list[Case]:
    seed = parameters["seed"]
    return [
        {"part": "exact", "iterations": 400, "seed": seed},
        *({"part": "block", "activation": name, "seed": seed} for name in ("relu", "tanh")),
        *(
            {
                "part": "sweep",
                "loss": loss,
                "layers": layers,
                "scale": scale,
                "width": parameters["width"],
                "iterations": 20,
                "seed": seed,
            }
            for loss in ("squared", "cross-entropy")
            for layers in parameters["sweep_layers"]
            for scale in parameters["scales"]
        ),
        *(
            {
                "part": "training",
                "layers": layers,
                "width": parameters["width"],
                "start": start,
                "rate": rate,
                "epochs": parameters["epochs"],
                "seed": seed + number,
            }
            for layers in parameters["layers"]
            for start in STARTS
            for rate in parameters["rates"]
            for number in range(parameters["seeds"])
        ),
    ]


_RUNS = {"exact": exact_norms, "block": factorised_block, "sweep": swept_norms, "training": train}


def _run(case: Case, setting: Setting) -> Record:
    return _RUNS[case["part"]](case, setting)


def _chain_rule(records: Records, activation: str) -> float:
    (row,) = records.where(part="block", activation=activation)
    return abs(row["predicted"] / row["measured"] - 1)


def _sweep(records: Records, layers: int, loss: str = "squared") -> list[float]:
    rows = records.where(part="sweep", loss=loss, layers=layers)
    return [row["norm"] for row in sorted(rows, key=lambda row: row["scale"])]


def _least_growth(records: Records, loss: str) -> float:
    """The least ratio of norms at neighbouring scales, over all depths."""
    depths = dict.fromkeys(case["layers"] for case in records.cases if case["part"] == "sweep")
    return min(high / low for layers in depths for low, high in pairwise(_sweep(records, layers, loss)))


def _spread(records: Records) -> float:
    norms = _sweep(records, _DEEPEST)
    return norms[-1] / norms[0]


def _calibrated(records: Records, *goals: str) -> list[Record]:
    return [
        row
        for start, (_, _, goal) in STARTS.items()
        if goal in goals
        for row in records.where(part="training", start=start)
        if not row["refused"]
    ]


def _depths(records: Records) -> list[int]:
    return list(dict.fromkeys(case["layers"] for case in records.cases if case["part"] == "training"))


def _gains(records: Records, start: str, control: str) -> list[tuple[float, float]]:
    """Mean gain of test accuracy over a control and its standard error by depth, each at its best rate."""
    return [
        paired_gain(best(records.where, layers, start), best(records.where, layers, control), "test")
        for layers in _depths(records)
    ]


def _usable(records: Records, start: str) -> int:
    return sum(len(usable_rates(records.where, layers, start)) for layers in _depths(records))


_CHECKS = (
    Check(
        name="power iteration",
        statement="norms of blocks by power iteration are those of the exact Hessian to 1e-3",
        measure=lambda records: records.where(part="exact")[0]["spectral"],
        most=1e-3,
    ),
    Check(
        name="Hutchinson",
        statement="Frobenius norms from 400 random vectors are within 3 % of the exact ones",
        measure=lambda records: records.where(part="exact")[0]["frobenius"],
        most=0.03,
    ),
    Check(
        name="chain rule",
        statement="of a ReLU network a block's norm is forward energy times squared backward energy to 1e-10",
        measure=lambda records: _chain_rule(records, "relu"),
        most=1e-10,
    ),
    Check(
        name="control: tanh",
        statement="of a tanh network the formula, which leaves out the activation's curvature, is off by 10 % at least",
        measure=lambda records: _chain_rule(records, "tanh"),
        least=0.1,
    ),
    Check(
        name="scale",
        statement="under squared loss the norm rises with the scale of the weights at every depth: least ratio",
        measure=lambda records: _least_growth(records, "squared"),
        least=1.0,
    ),
    Check(
        name="scale: cross-entropy",
        statement="under cross-entropy it does, too",
        measure=lambda records: _least_growth(records, "cross-entropy"),
        least=1.0,
    ),
    Check(
        name="depth",
        statement="at 16 layers scales from a half of He's to twice it spread the norm by a factor of 1e6 and more",
        measure=_spread,
        least=1e6,
    ),
    Check(
        name="can be calibrated",
        statement="every start can be brought to blocks of norm 1: number of trainings where it cannot",
        measure=lambda records: sum(
            row["refused"]
            for start in ("he one", "torch one")
            for row in records.where(part="training", start=start)
        ),
        most=0,
    ),
    Check(
        name="equal blocks",
        statement="calibrated blocks have norms within 10 % of each other: largest ratio",
        measure=lambda records: max(
            row["after"][0] / row["after"][1] for row in _calibrated(records, "equal", "one")
        ),
        most=1.1,
    ),
    Check(
        name="same function",
        statement="blocks are made equal without a change of the outputs in float32: largest relative change",
        measure=lambda records: max(row["function"] for row in _calibrated(records, "equal")),
        most=1e-4,
    ),
    Check(
        name="no worse than He",
        statement="from blocks of norm 1 networks are within a point of He's start, each at its best rate: least gain",
        measure=lambda records: min(gain for gain, _ in _gains(records, "he one", "he")),
        least=-1.0,
    ),
    Check(
        name="better than He",
        statement="they are better at every depth by a standard error: least mean gain less that error",
        measure=lambda records: min(gain - error for gain, error in _gains(records, "he one", "he")),
        least=0.0,
    ),
    Check(
        name="equal blocks alone",
        statement="blocks made equal at the same function are better than He's start by a standard error",
        measure=lambda records: min(gain - error for gain, error in _gains(records, "he equal", "he")),
        least=0.0,
    ),
    Check(
        name="rescue",
        statement="from the narrow start of nn.Linear at 16 layers calibration gains 5 points",
        measure=lambda records: (
            mean_of(best(records.where, _DEEPEST, "torch one"), "test")
            - mean_of(best(records.where, _DEEPEST, "torch"), "test")
        ),
        least=5.0,
    ),
    Check(
        name="rates",
        statement="from blocks of norm 1 at least as many learning rates serve as from He's start: difference",
        measure=lambda records: _usable(records, "he one") - _usable(records, "he"),
        least=0,
    ),
)

HESSIAN_INIT = Study(
    name="hessian-init",
    title="Weights scaled by the curvature of the loss",
    claim=(
        "Weights whose scale makes the Hessian of the loss in each layer of norm about 1 are a good start for deep "
        "networks, better than schemes that look at the variance of activations only."
    ),
    paper="Skorski, Temperoni, Theobald 2021, Revisiting weight initialization of deep neural networks",
    quick={
        "seed": 0,
        "seeds": 3,
        "width": 64,
        "sweep_layers": [4, 8, 16],
        "scales": [0.5, 0.7, 1.0, 1.4, 2.0],
        "layers": [8, 16],
        "rates": [0.002, 0.006, 0.018, 0.054],
        "epochs": 12,
    },
    full={
        "seed": 0,
        "seeds": 10,
        "width": 64,
        "sweep_layers": [4, 8, 16, 32],
        "scales": [0.5, 0.7, 1.0, 1.4, 2.0],
        "layers": [4, 8, 16, 32],
        "rates": [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064],
        "epochs": 30,
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=tables,
    plot=plot,
    remarks=(
        "Networks have 64 pixels, hidden layers of 64 units with ReLU and no batch normalisation, momentum 0.9 and a "
        "cosine; each start takes the learning rate that does best on held-out images.",
        "Blocks are made equal at the function as it is, by moving scale between layers, which is a change of learning "
        "rates layer by layer and nothing else; or made 1 each, which also changes the function.",
        "From the narrow start of nn.Linear the biases rule the outputs of deep networks, and cross-entropy saturates "
        "before all blocks have norm 1: such starts cannot be calibrated, and count as guesses.",
        "Under cross-entropy large outputs saturate, so that beyond some scale the curvature falls again.",
        "A first run had half the epochs, two seeds and coarser rates. Trained so briefly, blocks of norm 1 were "
        "better than He's start at 16 layers by 5 points and worse at 8 by 3; neither is left after twice the epochs.",
        "A rate serves where the mean test accuracy is within 2 points of the best of that start, and 80 % at least.",
        "The formula is exact where activations are piecewise linear. The paper's abstract and idea were at hand for "
        "this study, its figures were not.",
    ),
)

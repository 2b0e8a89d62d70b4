"""Accuracy at equal budgets of parameters: ranks found by training, ranks told, gates, pruned and sparse weights."""

from collections.abc import Callable
from statistics import mean

from rankfold.studies._checks import Check
from rankfold.studies._compression_networks import NETWORKS
from rankfold.studies._compression_points import Point, points
from rankfold.studies._compression_training import train_case
from rankfold.studies._equal_budget_methods import BUDGET_METHODS
from rankfold.studies._equal_budget_view import plot, tables
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study

__all__ = ["EQUAL_BUDGET"]

_SMALL = ("lenet5", "small_vgg")
_SHARES = (0.1, 0.03)  # of high compression, where methods differ
_OWN = ("tdlrt", "parallel")
_OTHERS = ("gated", "frobenius", "tucker", "magnitude", "hadamard")


def _cases(parameters: Parameters) -> list[Case]:
    return [
        {
            "network": network,
            "method": method,
            "point": point,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "seed": parameters["seed"] + number,
            **{name: parameters[name] for name in _TRAINING},
        }
        for network in parameters["networks"]
        for method in BUDGET_METHODS
        for point in ([1.0] if method == "dense" else parameters["shares"])
        for learning_rate, weight_decay in parameters["recipes"][_CHOSEN_BY.get(method, "others")]
        for number in range(parameters["seeds"])
    ]


_TRAINING = ("images", "held_out", "test_images", "epochs", "batch_size", "label_smoothing")

# Methods whose weight decay makes the choice have recipes of their own, as many as the others.
_CHOSEN_BY = {"gated": "chosen by decay", "hadamard": "chosen by decay"}


def _run(case: Case, setting: Setting) -> Record:
    return train_case(case, setting, BUDGET_METHODS)


def _point(records: Records, network: str, method: str, share: float) -> Point:
    (point,) = points(records.where(network=network, method=method, point=share))
    return point


def _ahead(network: str, other: str, share: float) -> Callable[[Records], float]:
    def measure(records: Records) -> float:
        own = max(_OWN, key=lambda method: _held_out(records, network, method, share))
        return _point(records, network, own, share).accuracy - _point(records, network, other, share).accuracy

    return measure


def _held_out(records: Records, network: str, method: str, share: float) -> float:
    """Mean accuracy of the best recipe on images held back, by which integrators are chosen, as recipes are."""
    runs: dict[tuple[float, float], list[float]] = {}
    for row in records.where(network=network, method=method, point=share):
        runs.setdefault((row["learning_rate"], row["weight_decay"]), []).append(row["held_out_accuracy"])
    return max(map(mean, runs.values()))


def _most_over(records: Records) -> float:
    rows = [row for row in records.where() if row["method"] != "dense" and not row["diverged"]]
    return max(row["parameters"] - round(row["point"] * row["parameters_dense"]) for row in rows)


_CHECKS = (
    Check(
        name="budget",
        statement="no network that trained to its end has more parameters than its budget (largest surplus)",
        measure=_most_over,
        most=0.0,
    ),
    *(
        Check(
            name=f"{network} {100 * share:g} % {method}",
            statement=(
                f"{NETWORKS[network].title} at {100 * share:g} % of the parameters: TDLRT, by the integrator that does "
                f"better on images held back, is on average at least as accurate as {BUDGET_METHODS[method].title} "
                "(difference in points)"
            ),
            measure=_ahead(network, method, share),
            least=0.0,
        )
        for network in _SMALL
        for share in _SHARES
        for method in _OTHERS
    ),
)

_COMMON = {"seed": 0, "seeds": 3, "networks": list(_SMALL), "shares": list(_SHARES), "label_smoothing": 0.0}

EQUAL_BUDGET = Study(
    name="equal-budget",
    title="Accuracy at equal budgets of parameters",
    claim=(
        "Networks whose ranks are found by training on the manifold of low-rank tensors are at least as accurate as "
        "networks of as many parameters by factors of fixed rank with spectral start and Frobenius decay, by gates on "
        "ranks, by pruning, or by elementwise factors."
    ),
    paper=(
        "Zangrando et al. 2024, Geometry-aware training of factorized layers in tensor Tucker format, against Khodak "
        "et al. 2021, Initialization and regularization of factorized neural layers, and Kolb et al. 2025, Deep weight "
        "factorization"
    ),
    quick={
        **_COMMON,
        "images": 16000,
        "held_out": 5000,
        "test_images": None,
        "epochs": 2,
        "batch_size": 32,  # 1000 steps
        "recipes": {
            "others": [[0.02, 5e-4], [0.05, 5e-4]],
            "chosen by decay": [[0.02, 5e-3], [0.05, 2e-3]],
        },
    },
    full={
        **_COMMON,
        "images": None,
        "held_out": 5000,
        "test_images": None,
        "epochs": 10,
        "batch_size": 128,
        "recipes": {
            "others": [[0.02, 5e-4], [0.05, 5e-4], [0.05, 2e-3]],
            "chosen by decay": [[0.02, 5e-3], [0.05, 2e-3], [0.1, 5e-4]],
        },
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=tables,
    plot=plot,
    remarks=(
        "The comparison is ours; no paper makes it. All methods train for the same steps by SGD with momentum 0.9 and "
        "a cosine after a short rise; each has as many recipes and takes the one with the best mean accuracy on "
        "training images that were held back.",
        "The budget is a share of the weights of all convolutions, on LeNet-5 also of the linear layers; of pruned and "
        "sparse weights those that are not zero, which cost an index each to store and save no time as they are here. "
        "One rank for all layers cannot use the last percents of a budget.",
        "TDLRT has two integrators: the default of this library with ten core steps between steps of the bases, and "
        "the parallel one, whose bases move with every step, with moments of their own.",
        "TDLRT, magnitude pruning and elementwise factors come down to the budget in the same five rounds between a "
        "fifth and three fifths of the steps, GatedRank is cut at three fifths; fixed ranks are there from the start.",
        "Of GatedRank (three parts or more a term) and elementwise factors (two) weight decay on the parts is the "
        "penalty, and it is larger than that of the others until the choice is made.",
        "In a first run GatedRank was cut by one tolerance for all weights, which knows nothing of what a direction "
        "costs: it missed some budgets and was worse. Now what goes is what has the least energy per parameter, as in "
        "TDLRT. The parallel integrator was added after a run without it.",
        "Frobenius decay starts from random weights, truncated and balanced; Tucker of fixed rank from the same in "
        "plain layers, with weight decay on the factors.",
        "Seconds are of one training on a shared machine; compare them with each other.",
    ),
)

"""One training of the study of deep weight factorisation: a perceptron on digits made sparse by one method."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rankfold.init import initialize_products
from rankfold.layers import hadamard_weights
from rankfold.regularize import collapse_hadamard, hadamard, hadamard_penalty
from rankfold.studies._digits import PIXELS, Digits, digits, fit, perceptron
from rankfold.studies._pruning import make_permanent, prune_to_share, shares_of_rounds
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["METHODS", "RATIOS", "Method", "train"]

RATIOS = (10, 20, 40, 100, 200)  # of the number of weights to those kept
_THRESHOLD = 1e-2
_ROUNDS = 10
_CLIP = 2.0


@dataclass(frozen=True, slots=True)
class Method:
    """A way to a network with few weights.

    Arguments:
        title: in tables and figures.
        depth: factors of a weight; None for plain weights.
        lasso: plain weights with an L1 penalty and its subgradient.
        gradual: weights are pruned in rounds during the training, to the ratio of the case.
    """

    title: str
    depth: int | None = None
    lasso: bool = False
    gradual: bool = False


METHODS: dict[str, Method] = {
    "magnitude": Method("magnitude, after training"),
    "gradual": Method("magnitude, in training", gradual=True),
    "lasso": Method("L1, subgradient", lasso=True),
    "2": Method("D = 2", depth=2),
    "3": Method("D = 3", depth=3),
    "4": Method("D = 4", depth=4),
}


def train(case: Case, setting: Setting) -> Record:
    """Train a network and measure it cut to the ratios, and to a threshold.

    Arguments:
        case: method, learning rate and strength, ratio (of gradual pruning), start, epochs, seed.
        setting: where.

    Returns:
        Accuracies in percent on held-out and test images, whole and with the largest weights only; the ratio at the
        threshold and its accuracy.
    """
    method, data = METHODS[case["method"]], digits(setting.data_dir)
    rate, strength = case["recipe"]
    torch.manual_seed(case["seed"])
    model = perceptron(PIXELS, 128, 64, 10)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.normal_(layer.weight, 0, _he(layer))
    if method.depth is not None:
        _begin(model, method.depth, case["start"])
    finite = fit(
        model,
        data.train,
        torch.optim.SGD(model.parameters(), lr=rate),
        epochs=case["epochs"],
        batch_size=128,
        seed=case["seed"],
        penalty=_penalty(method, model, layers, strength),
        after_epoch=_pruner(layers, case) if method.gradual else lambda epoch: None,
        clip=_CLIP,
    )
    if method.gradual:
        make_permanent(layers)
    if method.depth is not None and finite:
        collapse_hadamard(model, 0.0)
    return _measured(model, data) if finite else _broken()


def _he(layer: nn.Linear) -> float:
    return math.sqrt(2 / layer.in_features)


def _begin(model: nn.Sequential, depth: int, start: str) -> None:
    """Factors drawn for He's deviation, or naively each with the deviation of the weight."""
    hadamard(model, depth)
    for _, layer, factors in list(hadamard_weights(model)):
        assert isinstance(layer, nn.Linear)
        if start == "truncated":
            initialize_products(layer, std=_he(layer))
        for factor in factors if start == "naive" else ():
            nn.init.normal_(factor, 0, _he(layer))


def _penalty(
    method: Method, model: nn.Module, layers: Sequence[nn.Linear], strength: float
) -> Callable[[], Tensor] | None:
    if method.depth is not None:
        return lambda: hadamard_penalty(model, strength)
    if method.lasso:
        return lambda: strength * torch.stack([layer.weight.abs().sum() for layer in layers]).sum()
    return None


def _pruner(layers: Sequence[nn.Linear], case: Case) -> Callable[[int], None]:
    """Ten rounds between a tenth and six tenths of the epochs."""
    shares = shares_of_rounds(1 / case["ratio"], _ROUNDS)
    places = {round(case["epochs"] * (0.1 + 0.05 * number)): share for number, share in enumerate(shares, 1)}

    def prune(epoch: int) -> None:
        if epoch in places:
            prune_to_share(layers, places[epoch])

    return prune


def _measured(model: nn.Sequential, data: Digits) -> Record:
    moduli = torch.cat([weight.abs().flatten() for weight in _weights(model)])
    record = {"held out": _accuracy(model, data.held_out), "test": _accuracy(model, data.test)}
    for ratio in RATIOS:
        cut = _cut(model, float(moduli.topk(max(round(len(moduli) / ratio), 1)).values[-1]))
        record[f"held out at {ratio}"] = _accuracy(cut, data.held_out)
        record[f"test at {ratio}"] = _accuracy(cut, data.test)
    record["ratio at threshold"] = len(moduli) / max(int((moduli >= _THRESHOLD).sum()), 1)
    record["test at threshold"] = _accuracy(_cut(model, _THRESHOLD), data.test)
    return record


def _weights(model: nn.Sequential) -> list[Tensor]:
    return [layer.weight.data for layer in model if isinstance(layer, nn.Linear)]


def _cut(model: nn.Sequential, limit: float) -> nn.Sequential:
    """A copy without the weights of a modulus below the limit."""
    cut = copy.deepcopy(model)
    for weight in _weights(cut):
        weight[weight.abs() < limit] = 0
    return cut


def _accuracy(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    return 100 * evaluate(model, *part)[1]


def _broken() -> Record:
    """What a training that broke down gives: guesses."""
    names = [name for ratio in RATIOS for name in (f"held out at {ratio}", f"test at {ratio}")]
    return {
        **dict.fromkeys(("held out", "test", *names, "test at threshold"), 10.0),
        "ratio at threshold": 1.0,
    }

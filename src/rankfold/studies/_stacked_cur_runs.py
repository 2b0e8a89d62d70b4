"""A network of equal layers, trained on digits, that adapters bring to turned digits."""

import copy
import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from rankfold.adapters import LowRank, StackedCUR, adapted_layers, attach
from rankfold.data import batches
from rankfold.models import MLP
from rankfold.studies._image_parts import ImageParts, image_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["LAYERS", "METHODS", "adapt", "stacked_rank"]

_PIXELS, LAYERS, _BATCH = 8, 6, 64  # pixels a side; layers of 64 x 64; the classifier stays frozen
_IMAGES, _HELD_OUT = 1137, 300
_BASE_RATE, _BASE_EPOCHS = 1e-3, 30  # choices of ours
METHODS = {
    "frozen": "no adaptation",
    "full": "all weights of the layers",
    "low rank": "low-rank adapters",
    "fft": "stacked t-CUR, fft",
    "none": "stacked t-CUR, each layer by itself",
    "random": "cores between random bases",
}


def stacked_rank(rank: int) -> int:
    """The rank whose cores have about as many numbers as low-rank adapters ``U S V^T`` of the given rank.

    Example:
        >>> stacked_rank(1), 11 * 11, 64 + 64 + 1
        (11, 121, 129)
    """
    width = _PIXELS**2
    return round(math.sqrt(2 * rank * width + rank**2))


def adapt(case: Case, setting: Setting) -> Record:
    """Train a network on digits, turn these by 90 degrees, and train adapters on a few of them.

    Arguments:
        case: method, rank of the low-rank adapters, rate, images, epochs, seed.
        setting: where.

    Returns:
        Accuracies on held-out and test images turned, the number of trained parameters, the largest change of an
        output by attaching, and the least relative change of a layer's weight after the first step; None of it
        without adapters.
    """
    data = image_parts("digits", _IMAGES, _HELD_OUT, _PIXELS, setting.data_dir, setting.device)
    turned = _turned(data)
    model = copy.deepcopy(_trained(case["seed"], setting))
    before = _outputs(model, turned)
    frozen = [layer.get_parameter("weight").detach().clone() for layer in model.layers[:LAYERS]]
    generator = torch.Generator().manual_seed(case["seed"])
    _prepare(model, case, generator)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    result: Record = {"parameters": sum(parameter.numel() for parameter in trained)}
    adapted = [layer for _, layer in adapted_layers(model)]
    result["attached"] = float((_outputs(model, turned) - before).abs().max()) if adapted else None
    result["first step"] = None
    x, y = (part[: case["images"]] for part in turned.train)
    optimizer = torch.optim.Adam(trained, lr=case["rate"]) if trained else None
    for _ in range(case["epochs"] if optimizer is not None else 0):
        for inputs, targets in batches(x, y, _BATCH, generator=generator):
            assert optimizer is not None
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            if adapted and result["first step"] is None:
                result["first step"] = min(
                    float((layer.weight.detach() - weight).norm() / weight.norm())
                    for layer, weight in zip(adapted, frozen, strict=True)
                )
    return result | {
        "held out": evaluate(model, *turned.held_out)[1],
        "test": evaluate(model, *turned.test)[1],
    }


def _prepare(model: MLP, case: Case, generator: torch.Generator) -> None:
    """Freeze what is not trained and attach what is."""
    method, rank = case["method"], case["rank"]
    layers = rf"layers\.[0-{LAYERS - 1}]"
    if method in ("frozen", "full"):
        model.requires_grad_(False)
        for layer in model.layers[:LAYERS] if method == "full" else ():
            layer.get_parameter("weight").requires_grad_()
    elif method == "low rank":
        attach(model, LowRank(rank), include=layers, generator=generator)
    elif method == "random":
        attach(model, LowRank(stacked_rank(rank)), include=layers, generator=generator)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(".core"))
    else:
        attach(model, StackedCUR(stacked_rank(rank), transform=method), include=layers, generator=generator)


@lru_cache(maxsize=8)  # the methods share it, seed by seed
def _trained(seed: int, setting: Setting) -> MLP:
    data = image_parts("digits", _IMAGES, _HELD_OUT, _PIXELS, setting.data_dir, setting.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP([_PIXELS**2] * (LAYERS + 1) + [data.classes]).to(setting.device)
    generator = torch.Generator().manual_seed(seed)
    for layer in model.layers:
        nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu", generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=_BASE_RATE)
    for _ in range(_BASE_EPOCHS):
        for x, y in batches(*data.train, _BATCH, generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


def _turned(data: ImageParts) -> ImageParts:
    train, held_out, test = ((x.rot90(1, (2, 3)), y) for x, y in (data.train, data.held_out, data.test))
    return ImageParts(train, held_out, test, data.classes)


@torch.no_grad()
def _outputs(model: nn.Module, data: ImageParts) -> torch.Tensor:
    return model(data.test[0])

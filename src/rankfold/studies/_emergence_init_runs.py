"""A deep network whose scale is moved from early to late layers: what stays, what equals it, how it trains."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.data import batches
from rankfold.init import rescale_layers
from rankfold.studies._image_parts import ImageParts, image_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting
from rankfold.training import evaluate

__all__ = ["compare_with_rates", "deep_network", "train_rescaled"]

_PIXELS, _CLASSES, _BATCH = 8, 10, 64


def deep_network(
    depth: int, width: int, norm: bool, generator: torch.Generator, *, bias: bool = False
) -> nn.Sequential:
    """Linear layers with ReLU between them, perhaps with batch norm before it; He's initialisation.

    Arguments:
        depth: number of linear layers, from 64 inputs to 10 outputs.
        width: neurons of each hidden layer.
        norm: whether there is batch norm.
        generator: source of weights.
        bias: whether layers have biases, which are drawn as small normal numbers here.
    """
    sizes = [_PIXELS**2, *[width] * (depth - 1), _CLASSES]
    parts: list[nn.Module] = [nn.Flatten()]
    for number in range(depth):
        layer = nn.Linear(sizes[number], sizes[number + 1], bias=bias)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if bias:
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
        parts.append(layer)
        if number < depth - 1:
            parts += [nn.BatchNorm1d(width), nn.ReLU()] if norm else [nn.ReLU()]
    return nn.Sequential(*parts)


def compare_with_rates(case: Case) -> Record:
    """In float64, the rescaled network against the original one trained with layer-wise learning rates.

    Arguments:
        case: depth, width, alpha, schedule, whether there are biases and batch norm, rate, steps, seed.

    Returns:
        How far the product of the factors is from 1, the largest change of an output relative to the largest output by
        rescaling, and the same between the two networks after training both.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    original = deep_network(case["depth"], case["width"], case["norm"], generator, bias=case["bias"]).double()
    rescaled = copy.deepcopy(original)
    rows = rescale_layers(_linear(rescaled), case["alpha"], schedule=case["schedule"])
    x = torch.randn(_BATCH, _PIXELS**2, generator=generator, dtype=torch.float64)
    y = torch.randint(0, _CLASSES, (_BATCH,), generator=generator)
    with torch.no_grad():
        changed = _relative(original(x), rescaled(x))
    groups, layers = [], _linear(original)
    for layer, row in zip(layers, rows, strict=True):
        groups.append({"params": [layer.weight], "lr": case["rate"] * row.rate})
        if case["bias"]:
            groups.append({"params": [layer.bias], "lr": case["rate"] * row.bias_rate})
    known = {id(parameter) for group in groups for parameter in group["params"]}
    groups.append({"params": [p for p in original.parameters() if id(p) not in known], "lr": case["rate"]})
    optimizers = [
        torch.optim.SGD([group for group in groups if group["params"]]),
        torch.optim.SGD(rescaled.parameters(), lr=case["rate"]),
    ]
    for _ in range(case["steps"]):
        for model, optimizer in zip((original, rescaled), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    with torch.no_grad():
        apart = _relative(original(x), rescaled(x))
    return {
        "product": abs(math.prod(row.factor for row in rows) - 1),
        "changed": changed,
        "apart": apart,
    }


def train_rescaled(case: Case, setting: Setting) -> Record:
    """Train a rescaled network by plain SGD.

    Arguments:
        case: depth, width, alpha, whether there is batch norm, rate, epochs, images, held out images, seed.
        setting: where.

    Returns:
        Accuracies on held-out and test images after the first and after the last epoch; guesses from the epoch on in
        which the loss is no longer finite.
    """
    data = image_parts(
        "digits", case["images"], case["held out images"], _PIXELS, setting.data_dir, setting.device
    )
    generator = torch.Generator().manual_seed(case["seed"])
    model = deep_network(case["depth"], case["width"], case["norm"], generator).to(setting.device)
    if case["alpha"] != 1:
        rescale_layers(_linear(model), case["alpha"])
    optimizer = torch.optim.SGD(model.parameters(), lr=case["rate"])
    result: Record = {}
    finite = True
    for epoch in range(1, case["epochs"] + 1):
        finite = finite and _epoch(model, optimizer, data, generator)
        for when in (name for name, at in (("first", 1), ("last", case["epochs"])) if epoch == at):
            for part in ("held_out", "test"):
                share = evaluate(model, *getattr(data, part))[1] if finite else 1 / data.classes
                result[f"{when} {part}"] = share
    return result


def _epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: ImageParts, generator: torch.Generator
) -> bool:
    """Whether the losses of an epoch were finite."""
    for x, y in batches(*data.train, _BATCH, generator=generator):
        loss = F.cross_entropy(model(x), y)
        if not bool(loss.isfinite()):
            return False
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return True


def _linear(model: nn.Sequential) -> Sequence[nn.Linear]:
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def _relative(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max() / one.abs().max())

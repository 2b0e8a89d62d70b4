"""The ways to a smaller network that the study of compression compares, behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from rankfold import TDLRT, factorize
from rankfold._registry import Registry
from rankfold.convert import factorized_layers
from rankfold.studies._compression_networks import Network, compressed_layers
from rankfold.studies._direct import DIRECT_FORMS, replace_directly
from rankfold.studies._pruning import (
    connection_sensitivity,
    make_permanent,
    prune_to_share,
    shares_of_rounds,
)

__all__ = [
    "FACTOR_METHODS",
    "METHODS",
    "PRUNING_METHODS",
    "Method",
    "Start",
    "Trained",
    "common_rank",
    "parameters_left",
    "rounds_to_share",
]

# The step of the paper: bases and cores move with every batch. Ranks start at half, the tolerance rises over the first
# half of the steps, the bases stay for the last tenth; these three are choices of this library.
_START, _WARMUP, _FREEZE, _CORE_STEPS = 0.5, 0.5, 0.9, 1

# Magnitude pruning: five rounds between a fifth and three fifths of the steps, so that most of the training that
# remains is done at the final share; choice of this library.
_ROUNDS, _FIRST, _LAST = 5, 0.2, 0.6


@dataclass(frozen=True, slots=True)
class Start:
    """What a method begins with.

    Arguments:
        network: dense, with fresh weights, on its device; changed in place.
        spec: which of its layers are compressed.
        point: tolerance of TDLRT, otherwise the share of parameters to keep.
        batch: one batch of training images and class numbers.
        steps: of the whole training.
        options: of SGD.
        seed: of what the method draws.
    """

    network: nn.Module
    spec: Network
    point: float
    batch: tuple[Tensor, Tensor]
    steps: int
    options: dict[str, Any]
    seed: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A network about to be trained in its smaller form.

    Arguments:
        optimizer: trains it.
        after_step: called with the number of steps done.
        finish: called once, with whether the training came to its end; returns the numbers that the compressed
            layers still have, biases apart.
    """

    optimizer: Optimizer
    after_step: Callable[[int], None]
    finish: Callable[[bool], int]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to a smaller network.

    Arguments:
        name: the name of its cases.
        title: what the card and the figure call it.
        begin: prepares a network.
    """

    name: str
    title: str
    begin: Callable[[Start], Trained]


def _nothing(done: int) -> None:
    """No work after a step."""


def _dense(start: Start) -> Trained:
    weights = [layer.weight for layer in compressed_layers(start.network, start.spec.compressed)]
    total = sum(weight.numel() for weight in weights if isinstance(weight, Tensor))
    return Trained(SGD(start.network.parameters(), **start.options), _nothing, lambda complete: total)


def parameters_left(network: nn.Module, spec: Network) -> int:
    """Numbers in the factors of a network, and in those of its compressed layers that stayed dense."""
    factors = sum(layer.tucker.num_parameters for _, layer in factorized_layers(network))
    return factors + sum(
        layer.weight.numel()
        for layer in compressed_layers(network, spec.compressed)
        if isinstance(layer.weight, Tensor)
    )


def _tdlrt(start: Start) -> Trained:
    factorize(start.network, _START, include=list(start.spec.compressed), rescale=True)
    optimizer = TDLRT(
        start.network,
        SGD,
        tolerance=start.point,
        core_steps=_CORE_STEPS,
        tolerance_warmup=int(_WARMUP * start.steps),
        freeze_bases_after=int(_FREEZE * start.steps),
        **start.options,
    )

    def finish(complete: bool) -> int:
        if complete:
            optimizer.truncate()
        return parameters_left(start.network, start.spec)

    return Trained(optimizer, _nothing, finish)


def common_rank(form: str, shapes: list[tuple[int, ...]], share: float) -> int:
    """The largest rank that all layers can have together.

    Arguments:
        form: a name in ``DIRECT_FORMS``.
        shapes: of the dense weights.
        share: of their parameters that the factors may have.

    Returns:
        The rank, at least 1; layers of smaller largest rank have that.

    Example:
        >>> common_rank("matrix", [(500, 800), (10, 500)], 0.03)  # 1300 r + 510 r of 405,000
        6
    """
    chosen = DIRECT_FORMS[form]
    allowed = share * sum(torch.Size(shape).numel() for shape in shapes)

    def parameters(rank: int) -> int:
        return sum(chosen.parameters(shape, min(rank, chosen.largest_rank(shape))) for shape in shapes)

    largest = max(chosen.largest_rank(shape) for shape in shapes)
    return max((rank for rank in range(1, largest + 1) if parameters(rank) <= allowed), default=1)


def _factors(form: str) -> Callable[[Start], Trained]:
    """Factors of a form as plain layers, trained as they are at the rank they begin with.

    One rank for all layers, as far as they have it, leaves small layers more of their parameters than large ones. At
    one share for all, the 10 x 500 layer of LeNet-5 and the first convolutions would have rank 1 where much is saved.
    """

    def begin(start: Start) -> Trained:
        layers = compressed_layers(start.network, start.spec.compressed)
        shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer.weight, Tensor)]
        conversion = replace_directly(
            start.network,
            form,
            common_rank(form, shapes, start.point),
            include=list(start.spec.compressed),
            weights="rescale",
            generator=torch.Generator().manual_seed(start.seed),
        )
        kept = sum(row.parameters_after for row in conversion.converted)
        return Trained(SGD(start.network.parameters(), **start.options), _nothing, lambda complete: kept)

    return begin


def _snip(start: Start) -> Trained:
    layers = compressed_layers(start.network, start.spec.compressed)
    optimizer = SGD(start.network.parameters(), **start.options)
    prune_to_share(layers, start.point, connection_sensitivity(start.network, layers, *start.batch))
    return Trained(optimizer, _nothing, lambda complete: make_permanent(layers))


def rounds_to_share(share: float, steps: int) -> dict[int, float]:
    """The share to come down to after so many steps of the training, for methods that choose what they keep.

    Example:
        >>> {step: round(share, 4) for step, share in rounds_to_share(0.5**5, 1000).items()}
        {200: 0.5, 300: 0.25, 400: 0.125, 500: 0.0625, 600: 0.0312}
    """
    between = (_LAST - _FIRST) / (_ROUNDS - 1)
    return {
        round((_FIRST + number * between) * steps): kept
        for number, kept in enumerate(shares_of_rounds(share, _ROUNDS))
    }


def _magnitude(start: Start) -> Trained:
    layers = compressed_layers(start.network, start.spec.compressed)
    optimizer = SGD(start.network.parameters(), **start.options)
    rounds = rounds_to_share(start.point, start.steps)

    def after_step(done: int) -> None:
        if done in rounds:
            prune_to_share(layers, rounds[done])

    return Trained(optimizer, after_step, lambda complete: make_permanent(layers))


METHODS: Registry[Method] = Registry(
    "method",
    Method("tdlrt", "TDLRT", _tdlrt),
    Method("tucker", "Tucker, fixed rank", _factors("tucker")),
    Method("matrix", "matrix factors", _factors("matrix")),
    Method("cp", "CP factors", _factors("cp")),
    Method("snip", "SNIP", _snip),
    Method("magnitude", "magnitude pruning", _magnitude),
    Method("dense", "dense", _dense),
)
FACTOR_METHODS = ("matrix", "tucker", "cp")
PRUNING_METHODS = ("snip", "magnitude")

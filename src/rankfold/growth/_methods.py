"""Ways to make a block that stands between two others."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rankfold._registry import Registry
from rankfold.growth._joint_svd import joint_svd
from rankfold.growth._predict import Prediction, fit_predictor

__all__ = ["GROWTH_METHODS", "GrowthMethod", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a method is told beside the blocks.

    Arguments:
        zeroed: names, within a block, of the parameters that write to the residual stream.
        epochs, norm_weight: of the predictor.
        generator: source of random numbers.
    """

    zeroed: tuple[str, ...]
    epochs: int
    norm_weight: float
    generator: torch.Generator


# New blocks, one after each of the places, and how good the prediction of each matrix was.
Make = Callable[[Sequence[nn.Module], Sequence[int], Settings], tuple[list[nn.Module], dict[str, Prediction]]]


@dataclass(frozen=True, slots=True)
class GrowthMethod:
    """One way to make new blocks.

    Arguments:
        name: how it is chosen.
        make: from blocks, places and settings.
        summary: one line.
        source: where it comes from.
    """

    name: str
    make: Make
    summary: str
    source: str


@torch.no_grad()
def _identity(
    blocks: Sequence[nn.Module], places: Sequence[int], settings: Settings
) -> tuple[list[nn.Module], dict[str, Prediction]]:
    made, _ = _copies(blocks, places, settings)
    for block in made:
        for name in settings.zeroed:
            block.get_parameter(name).zero_()
    return made, {}


def _copies(
    blocks: Sequence[nn.Module], places: Sequence[int], settings: Settings
) -> tuple[list[nn.Module], dict[str, Prediction]]:
    return [copy.deepcopy(blocks[place]) for place in places], {}


@torch.no_grad()
def _means(
    blocks: Sequence[nn.Module], places: Sequence[int], settings: Settings
) -> tuple[list[nn.Module], dict[str, Prediction]]:
    made, _ = _copies(blocks, places, settings)
    for block, place in zip(made, places, strict=True):
        if place + 1 < len(blocks):
            for name, parameter in block.named_parameters():
                parameter.lerp_(blocks[place + 1].get_parameter(name), 0.5)
    return made, {}


@torch.no_grad()
def _predicted(
    blocks: Sequence[nn.Module], places: Sequence[int], settings: Settings
) -> tuple[list[nn.Module], dict[str, Prediction]]:
    """Matrices are predicted; what else there is, such as norms, is copied."""
    made, _ = _copies(blocks, places, settings)
    judged: dict[str, Prediction] = {}
    for name, first in blocks[0].named_parameters():
        if first.ndim != 2:
            continue
        basis = joint_svd([block.get_parameter(name) for block in blocks])
        predictor, judged[name] = fit_predictor(
            basis, epochs=settings.epochs, norm_weight=settings.norm_weight, generator=settings.generator
        )
        for block, place in zip(made, places, strict=True):
            after = min(place + 1, len(blocks) - 1)
            coefficients = predictor(basis.coefficients[place], basis.coefficients[after])
            value: Tensor = basis.matrix(coefficients)
            block.get_parameter(name).copy_(value)
    return made, judged


GROWTH_METHODS: Registry[GrowthMethod] = Registry(
    "growth method",
    GrowthMethod(
        "identity",
        _identity,
        "a copy that adds nothing to the residual stream; the function stays the same",
        "Wu et al. 2024, LLaMA Pro: progressive LLaMA with block expansion",
    ),
    GrowthMethod(
        "copy", _copies, "a copy of the block before", "Kim et al. 2024, SOLAR 10.7B: depth up-scaling"
    ),
    GrowthMethod(
        "mean", _means, "the mean of the two neighbours", "Chang et al. 2018, Multi-level residual networks"
    ),
    GrowthMethod(
        "svd_predict",
        _predicted,
        "every matrix predicted from its neighbours in their common singular basis",
        "Yang et al. 2025, LESA: learnable LLM layer scaling-up",
    ),
)

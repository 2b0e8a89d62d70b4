"""Random dense weights and values, as wide as the layers of torch draw theirs."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn

from rankfold.formats import Format
from rankfold.layers import FormatLayer

__all__ = ["dense_draw", "normal_draw", "own_std", "scaled_to"]


def own_std(layer: nn.Module) -> float:
    """Standard deviation that the plain layer draws its weight with: 1 of a table, else ``1 / sqrt(3 fan_in)``."""
    if isinstance(layer, FormatLayer):
        return layer._weight_variance() ** 0.5
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return 1.0
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # nn.Linear and the convolutions draw from kaiming_uniform_(a=sqrt(5)), whose variance is 1 / (3 fan_in).
    return 1 / sqrt(3 * max(prod(weight.shape[1:]), 1))


def dense_draw(
    shape: Sequence[int],
    std: float,
    generator: torch.Generator | None,
    device: torch.device,
    *,
    normal: bool = False,
) -> Tensor:
    """A float64 tensor of uniform numbers as torch's layers draw them, or of normal ones as its tables do."""
    place = device if generator is None else generator.device
    work = torch.empty(tuple(shape), dtype=torch.float64, device=place)
    if normal:
        work.normal_(0, std, generator=generator)
    else:
        work.uniform_(-sqrt(3) * std, sqrt(3) * std, generator=generator)
    return work.to(device)


def normal_draw(like: Format, std: float, generator: torch.Generator | None) -> Format:
    """Independent normal numbers in every tensor of a format, all of one deviation, so that the entries have ``std``.

    An entry is a sum over all rank indices of products of one number of each of the T tensors: its variance is the
    number of terms times the power 2 T of the deviation of the numbers.
    """
    terms = prod(like.latent_axes().values())
    one = (std / sqrt(max(terms, 1))) ** (1 / len(like.tensors))
    tensors = [dense_draw(t.shape, one, generator, like.device, normal=True) for t in like.tensors]
    return like.to(dtype=torch.float64)._rebuilt(tensors)


def scaled_to(value: Format, norm: float) -> Format:
    """The value times a number, so that it has a given norm; zero stays zero."""
    axis, size = next(iter(value.latent_axes().items()))
    length = value.norm()
    scale = norm / torch.where(length > 0, length, 1.0)
    return value.scale_latent(axis, scale.expand(size))

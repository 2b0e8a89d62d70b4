"""Small networks, each with something that conversions get wrong; ``NASTY`` lists them all.

A case says how to make the network and its input, and which layers must be left alone, by a word of the reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from tests.convert.models import Conv1D, LanguageModel, Reused
from torch import Tensor, nn
from torch.nn.utils import parametrizations

__all__ = ["NASTY", "Case"]


@dataclass(frozen=True)
class Case:
    """One network: how to make it and what to give it, and the layers to be left alone with a word of the reason."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    skipped: Mapping[str, str] = field(default_factory=dict)


def _groups() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(8, 12, 3, groups=4),
        nn.Conv2d(12, 12, 3, groups=12),  # depthwise
        nn.Conv2d(12, 24, 3, padding=1, groups=12),  # depthwise with a multiplier
        nn.ConvTranspose2d(24, 8, 2, groups=2),
        nn.Flatten(2),
        nn.Conv1d(8, 6, 1, groups=2),
    )


def _strides_and_dilations() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5, stride=2, dilation=3, padding=4),
        nn.Unflatten(2, (4, 4)),
        nn.Conv2d(6, 8, (3, 2), stride=(1, 2), dilation=(2, 1), padding=(2, 0)),
        nn.Unflatten(1, (4, 2)),
        nn.Conv3d(4, 5, (2, 3, 2), dilation=(1, 1, 1), padding=1, stride=(1, 2, 1)),
    )


def _paddings() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=2, padding_mode="reflect"),
        nn.Conv2d(6, 5, (3, 5), padding="same", padding_mode="circular"),
        nn.Conv2d(5, 4, 3, padding=(1, 2), padding_mode="replicate", stride=2),
        nn.Conv2d(4, 4, 4, padding="same", dilation=2),
        nn.Conv2d(4, 6, 3, padding="valid"),
    )


def _transposed() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(6, 8, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(
            8, 6, (2, 3), stride=3, output_padding=(2, 0), groups=2, dilation=(2, 1), bias=False
        ),
    )


def _without_bias() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(72, 20, bias=False), nn.Linear(20, 9)
    )


class _Lookup(nn.Module):
    """Words, some of them padding, and a mean over those that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 12, padding_idx=3)
        self.places = nn.Embedding(6, 12, max_norm=1.0)
        self.output = nn.Linear(12, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = self.words(tokens) + self.places(torch.arange(6))
        return self.output(rows.mean(1))


class _TiedLookup(nn.Module):
    """A table with a padding row that is the weight of the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.output = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, 20)
        self.output.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(torch.tanh(self.words(tokens)))


class _Attention(nn.Module):
    """Attention within a sequence, and from it to a memory of other dimensions, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.MultiheadAttention(12, 3, batch_first=True)
        self.across = nn.MultiheadAttention(12, 2, kdim=5, vdim=7, add_bias_kv=True, add_zero_attn=True)
        self.keys, self.values = nn.Linear(12, 5), nn.Linear(12, 7)

    def forward(self, inputs: Tensor) -> Tensor:
        later = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).triu(1)
        hidden, weights = self.within(inputs, inputs, inputs, attn_mask=later)
        sequence = inputs.transpose(0, 1)
        crossed, _ = self.across(sequence, self.keys(sequence), self.values(sequence), need_weights=False)
        return hidden + crossed.transpose(0, 1) + weights.sum()


def _weight_norm() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(9, 12)),
        nn.Tanh(),
        nn.Linear(12, 10),
        parametrizations.spectral_norm(nn.Linear(10, 8)),
        parametrizations.orthogonal(nn.Linear(8, 8)),
    )


class _Unused(nn.Module):
    """Layers that are never called, one that is None, and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 6)
        self.spare = nn.ModuleList([nn.Conv2d(4, 5, 3), nn.Embedding(9, 5)])
        self.absent = None
        self.scale = nn.Parameter(torch.full((8,), 1.5))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.used(inputs) * self.scale


class _Nested(nn.Module):
    """Layers in lists in dictionaries, called in an order of their own, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        tower = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        towers = nn.ModuleList([tower, nn.ModuleDict({"deep": nn.Linear(8, 8)})])
        self.parts = nn.ModuleDict({"towers": towers, "head": nn.Linear(8, 8)})
        self.alias = tower

    def forward(self, inputs: Tensor) -> Tensor:
        towers = self.parts["towers"]
        deep = towers[1]["deep"]
        return self.parts["head"](self.alias(deep(towers[0](torch.tanh(deep(inputs))))))


def _normalised() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 6, 3, groups=2),
        nn.GroupNorm(2, 6),
        nn.Flatten(),
        nn.Linear(6 * 9, 10),
        nn.BatchNorm1d(10, affine=False),
    )
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.running_mean)
    return model


def _hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 5))
    model[0].register_forward_pre_hook(lambda module, arguments: (arguments[0] * 2,))
    model[1].register_forward_hook(lambda module, arguments, output: output + arguments[0].sum())
    return model


class _OwnLinear(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.tril(), self.bias)


def _subclass() -> nn.Module:
    return nn.Sequential(_OwnLinear(8, 8), nn.Linear(8, 8))


class _Reader(nn.Module):
    """A model that reads the weights of its layers, by a function it holds and in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mix = nn.Linear(9, 6), nn.Conv1d(6, 6, 1)
        self.penalty = lambda model: model.encode.weight.square().mean()

    def forward(self, inputs: Tensor) -> Tensor:
        mixed = self.mix(self.encode(inputs)[..., None])[..., 0]
        return F.linear(mixed, self.encode.weight.t()) + self.penalty(self)


class _Shared(nn.Module):
    """A layer whose weight is a parameter of the model as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.free = nn.Linear(7, 7), nn.Linear(7, 7)
        self.matrix = self.layer.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.free(self.layer(inputs)) @ self.matrix


def _numbers(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape)


NASTY: dict[str, Case] = {
    "groups": Case(_groups, _numbers(2, 8, 8, 8), {"1": "depthwise", "2": "depthwise"}),
    "strides and dilations": Case(_strides_and_dilations, _numbers(2, 4, 35)),
    "paddings": Case(_paddings, _numbers(2, 3, 9, 9)),
    "transposed": Case(_transposed, _numbers(2, 6, 4, 4)),
    "without bias": Case(_without_bias, _numbers(3, 3, 5, 5)),
    "padding rows": Case(_Lookup, lambda: torch.arange(24).reshape(4, 6) % 11),
    "a padding row in a tied table": Case(_TiedLookup, lambda: torch.arange(20).reshape(4, 5) % 7),
    "attention": Case(_Attention, _numbers(2, 6, 12)),
    "encoder with a tied embedding": Case(LanguageModel, lambda: torch.arange(21).reshape(3, 7)),
    "shared weights": Case(Reused, _numbers(4, 8)),
    "weight norm": Case(_weight_norm, _numbers(4, 9), dict.fromkeys("034", "parametrisation")),
    "unused": Case(_Unused, _numbers(4, 8)),
    "nested": Case(_Nested, _numbers(4, 8)),
    "normalised": Case(_normalised, _numbers(5, 3, 7, 7)),
    "hooks": Case(_hooked, _numbers(4, 8)),
    "subclass": Case(_subclass, _numbers(4, 8), {"0": "subclass"}),
    "read weights": Case(_Reader, _numbers(4, 9)),
    "a parameter of the model": Case(_Shared, _numbers(4, 7), {"layer": "shares its weight"}),
    "Conv1D": Case(lambda: nn.Sequential(Conv1D(9, 6), nn.Tanh(), Conv1D(6, 9)), _numbers(2, 4, 6)),
}

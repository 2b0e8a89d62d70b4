"""Which layers can be converted, and the reasons why a layer cannot."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from rankfold import layers
from rankfold._registry import Registry
from rankfold.convert._attention import reason_not_to_split
from rankfold.formats import full_ranks

__all__ = [
    "FORMATS",
    "RULES",
    "TT_MATRIX_RULES",
    "ConversionRule",
    "LayerFormat",
    "reason_to_skip",
    "rule_for",
]


@dataclass(frozen=True, slots=True)
class ConversionRule:
    """How one class of dense layers is converted.

    Arguments:
        name: name of the dense class.
        dense: the dense class, matched exactly: a subclass may compute something else. None for a class of another
            library, which is known by its name and its looks, for that library need not be installed.
        layer: the class over a format, a :class:`rankfold.layers.FormatLayer`.
        reason: gives the reason why a module of this class cannot be converted, or None if it can.
        selectable_modes: whether the caller chooses the modes (convolutions), or they are fixed.
        looks: whether a module of the right name is what is meant.
    """

    name: str
    dense: type[nn.Module] | None
    layer: type[Any]
    reason: Callable[[nn.Module], str | None] = lambda module: None
    selectable_modes: bool = False
    looks: Callable[[nn.Module], bool] = lambda module: True

    def applies(self, module: nn.Module) -> bool:
        """Whether a module is of the dense class or one derived from it."""
        if self.dense is not None:
            return isinstance(module, self.dense)
        return any(base.__name__ == self.name for base in type(module).__mro__) and self.looks(module)

    def is_exact(self, module: nn.Module) -> bool:
        """Whether a module that the rule applies to is of the dense class itself."""
        return type(module).__name__ == self.name if self.dense is None else type(module) is self.dense


def _conv_reason(module: nn.Module) -> str | None:
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d)
    if module.groups > 1 and module.groups == module.in_channels:
        return "depthwise: each group has one channel, so no channel mode can be reduced"
    return None


def _embedding_reason(module: nn.Module) -> str | None:
    assert isinstance(module, nn.Embedding)
    if module.sparse:
        return "sparse gradients: a change of basis touches every row"
    if module.padding_idx is not None and bool(module.weight[module.padding_idx].any()):
        return "the padding row is not zero and could not stay as it is"
    return None


def _is_transposed_linear(module: nn.Module) -> bool:
    """Whether a module has the parameters of transformers.pytorch_utils.Conv1D: weight (nx, nf) and bias (nf,)."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    return (
        isinstance(weight, Tensor)
        and isinstance(bias, Tensor)
        and weight.ndim == 2
        and bias.shape == weight.shape[1:] == (getattr(module, "nf", None),)
    )


def _transposed_linear_reason(module: nn.Module) -> str | None:
    name, weight, bias = type(module).__name__, module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    if list(inspect.signature(type(module)).parameters) != ["nf", "nx"]:
        return f"{name} takes other arguments than nf and nx, so it could not be built again"
    # A name proves nothing, so ask the module what it computes, with a vector that has no zeros and no pattern.
    vector = torch.arange(1, len(weight) + 1, device=weight.device).sin().to(weight.dtype)
    scale = vector.abs() @ weight.abs() + bias.abs()
    allowed = scale * (len(weight) + 1) * torch.finfo(weight.dtype).eps
    with torch.autocast(weight.device.type, enabled=False):
        expected = vector[None] @ weight + bias
        try:
            same = bool(((module.forward(vector[None]) - expected).abs() <= allowed).all())
        except (RuntimeError, TypeError, ValueError):  # whatever it takes, it is not one row
            same = False
    return None if same else f"{name} computes something else than input @ weight + bias"


RULES: Registry[ConversionRule] = Registry(
    "conversion rule",
    ConversionRule("Linear", nn.Linear, layers.Linear),
    ConversionRule("Conv1d", nn.Conv1d, layers.Conv1d, _conv_reason, True),
    ConversionRule("Conv2d", nn.Conv2d, layers.Conv2d, _conv_reason, True),
    ConversionRule("Conv3d", nn.Conv3d, layers.Conv3d, _conv_reason, True),
    ConversionRule("ConvTranspose2d", nn.ConvTranspose2d, layers.ConvTranspose2d, _conv_reason, True),
    ConversionRule("Embedding", nn.Embedding, layers.Embedding, _embedding_reason),
    ConversionRule(
        "Conv1D", None, layers.TransposedLinear, _transposed_linear_reason, looks=_is_transposed_linear
    ),
)


def _tt_matrix_embedding_reason(module: nn.Module) -> str | None:
    assert isinstance(module, nn.Embedding)
    if module.sparse:
        return "sparse gradients: every core belongs to many rows"
    if module.padding_idx is not None:
        return "a padding row: in a TT-matrix it shares its factors with other rows and could not stay zero"
    return None


TT_MATRIX_RULES: Registry[ConversionRule] = Registry(
    "conversion rule",
    ConversionRule("Linear", nn.Linear, layers.TTMatrixLinear),
    ConversionRule("Embedding", nn.Embedding, layers.TTMatrixEmbedding, _tt_matrix_embedding_reason),
)


@dataclass(frozen=True, slots=True)
class LayerFormat:
    """A format that the weights of layers can be written in.

    Arguments:
        name: as ``factorize(model, format=name)`` takes it.
        rules: the layers that it can stand for.
        summary: what it is.
        source: where it is from.
    """

    name: str
    rules: Registry[ConversionRule]
    summary: str
    source: str


FORMATS: Registry[LayerFormat] = Registry(
    "layer format",
    LayerFormat(
        "tucker",
        RULES,
        "a core and one factor for each of some modes; trained along the manifold by TDLRT, folds to faster layers",
        "Tucker 1966",
    ),
    LayerFormat(
        "tt_matrix",
        TT_MATRIX_RULES,
        "rows and columns split into factors, one core for each pair; the smallest, trained by any optimiser",
        "Novikov et al. 2015",
    ),
)


def rule_for(module: nn.Module, rules: Registry[ConversionRule] = RULES) -> ConversionRule | None:
    """The rule whose dense class the module is an instance of (a subclass counts, to be listed with a reason)."""
    return next((rule for rule in rules.values() if rule.applies(module)), None)


def reason_to_skip(
    module: nn.Module, rule: ConversionRule, parent: nn.Module | None, attribute: str
) -> str | None:
    """Why a module that a rule applies to must be left alone, or None."""
    if isinstance(parent, nn.MultiheadAttention) and attribute == "out_proj":
        why = reason_not_to_split(parent) or "it shares its packed weights, or is the model itself"
        return f"its parent MultiheadAttention reads its weight and cannot be split: {why}"
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters(recurse=False)):
        return "not initialised yet: run one forward pass first"
    if parametrize.is_parametrized(module, "weight") or "weight" not in module._parameters:
        return "its weight is computed by a parametrisation"
    if module._parameters.get("bias") is None and getattr(module, "bias", None) is not None:
        return "its bias is computed by a parametrisation"
    if "forward" in vars(module):
        return "its forward was replaced on the instance and may compute something else"
    further = {*module._parameters, *module._buffers, *module._modules} - {"weight", "bias"}
    if further:
        return f"it holds {sorted(further)[0]!r} beside weight and bias"
    if not rule.is_exact(module):
        original = rule.name if rule.dense is None else f"nn.{rule.name}"
        return f"{type(module).__name__} is a subclass of {original} and may compute something else"
    weight = module.weight
    assert isinstance(weight, Tensor)
    if not weight.is_floating_point():
        return f"weights of dtype {weight.dtype} are not supported"
    if weight.device.type == "meta" or weight.numel() == 0:
        return "its weight holds no data"
    if max(full_ranks(weight.shape, range(weight.ndim))) == 1:
        return "its weight has rank 1 as it is"
    with torch.no_grad():
        return rule.reason(module)

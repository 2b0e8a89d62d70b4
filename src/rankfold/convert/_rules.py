"""Which layers can be converted, and the reasons why a layer cannot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from rankfold import layers
from rankfold._registry import Registry
from rankfold.formats import full_ranks
from rankfold.layers import FactorizedLayer

__all__ = [
    "ATTRIBUTE_READERS",
    "RULES",
    "WEIGHT_READERS",
    "ConversionRule",
    "children_read_as_dense",
    "reason_to_skip",
    "rule_for",
]


@dataclass(frozen=True, slots=True)
class ConversionRule:
    """How one ``nn`` class is converted.

    Arguments:
        name: name of the dense class.
        dense: the dense class, matched exactly: a subclass may compute something else.
        layer: the factorised class.
        reason: gives the reason why a module of this class cannot be converted, or None if it can.
        selectable_modes: whether the caller chooses the modes (convolutions), or they are fixed.
    """

    name: str
    dense: type[nn.Module]
    layer: type[FactorizedLayer]
    reason: Callable[[nn.Module], str | None] = lambda module: None
    selectable_modes: bool = False


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


RULES: Registry[ConversionRule] = Registry(
    "conversion rule",
    ConversionRule("Linear", nn.Linear, layers.Linear),
    ConversionRule("Conv1d", nn.Conv1d, layers.Conv1d, _conv_reason, True),
    ConversionRule("Conv2d", nn.Conv2d, layers.Conv2d, _conv_reason, True),
    ConversionRule("Conv3d", nn.Conv3d, layers.Conv3d, _conv_reason, True),
    ConversionRule("ConvTranspose2d", nn.ConvTranspose2d, layers.ConvTranspose2d, _conv_reason, True),
    ConversionRule("Embedding", nn.Embedding, layers.Embedding, _embedding_reason),
)

#: Parents that hand the weight of a child to a fused kernel instead of calling the child.
WEIGHT_READERS: dict[type[nn.Module], tuple[str, ...]] = {nn.MultiheadAttention: ("out_proj",)}

#: Parents that read ``child.weight``, whatever class the child has; a chain of layers has none.
ATTRIBUTE_READERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.TransformerEncoderLayer: ("linear1", "linear2")
}


def children_read_as_dense(model: nn.Module) -> set[nn.Module]:
    """The children of a model that must have a ``weight``, because their parent reads it."""
    return {
        getattr(parent, child)
        for parent in model.modules()
        for reader, children in ATTRIBUTE_READERS.items()
        if isinstance(parent, reader)
        for child in children
    }


def rule_for(module: nn.Module) -> ConversionRule | None:
    """The rule whose dense class the module is an instance of (a subclass counts, to be listed with a reason)."""
    return next((rule for rule in RULES.values() if isinstance(module, rule.dense)), None)


def reason_to_skip(
    module: nn.Module, rule: ConversionRule, parent: nn.Module | None, attribute: str
) -> str | None:
    """Why a module that a rule applies to must be left alone, or None."""
    for reader, children in WEIGHT_READERS.items():
        if isinstance(parent, reader) and attribute in children:
            return f"its parent {reader.__name__} reads its weight instead of calling it"
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
    if type(module) is not rule.dense:
        return f"{type(module).__name__} is a subclass of nn.{rule.name} and may compute something else"
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

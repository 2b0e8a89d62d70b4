"""Torch's encoders are told which of their parts must be called, not read."""

from torch import nn

from rankfold.layers import FormatLayer, SplitAttention

__all__ = ["settle_encoders"]

_FEED_FORWARD = ("linear1", "linear2")
# Holds what torch had decided, while it is overruled.
_MEMORY = "where_all_weights_are_plain"


def settle_encoders(model: nn.Module) -> None:
    """Let the encoders of a model take torch's fused kernel where it finds the weights it reads, and nowhere else.

    In evaluation ``nn.TransformerEncoderLayer`` hands the weights of its parts to one kernel, and
    ``nn.TransformerEncoder`` turns padded batches into nested tensors for it, which the parts themselves do not take.
    Both do so only where an attribute allows it that their constructors set. Where the feed-forward layers are
    factorised or chains, or attention is split, that attribute is cleared, and put back when they are plain again.

    Arguments:
        model: any module; nothing but these attributes is changed.
    """
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            # Torch asks whether the activation is one that its kernel has; the activation itself stays.
            _settle(module, "activation_relu_or_gelu", _has_plain_feed_forward(module))
        elif isinstance(module, nn.TransformerEncoder):
            _settle(
                module, "use_nested_tensor", all(_takes_nested_tensors(part) for part in module.modules())
            )


def _has_plain_feed_forward(layer: nn.TransformerEncoderLayer) -> bool:
    parts = [part for name in _FEED_FORWARD if (part := layer._modules.get(name)) is not None]
    return not any(isinstance(part, FormatLayer) or not hasattr(part, "weight") for part in parts)


def _takes_nested_tensors(part: nn.Module) -> bool:
    if isinstance(part, nn.TransformerEncoderLayer):
        return _has_plain_feed_forward(part)
    return not isinstance(part, FormatLayer | SplitAttention)


def _settle(module: nn.Module, attribute: str, allowed: bool) -> None:
    given = getattr(module, attribute, None)
    if allowed and _MEMORY in vars(module):
        setattr(module, attribute, vars(module).pop(_MEMORY))
    elif not allowed and given:
        setattr(module, _MEMORY, given)
        setattr(module, attribute, type(given)(0))

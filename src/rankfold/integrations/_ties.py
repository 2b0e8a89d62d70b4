"""Factors that several layers share, which checkpoints of transformers cannot hold."""

from torch import nn

from rankfold._errors import OptionError
from rankfold.layers import FactorizedLayer

__all__ = ["require_separate_factors"]


def require_separate_factors(model: nn.Module, *, saved: bool) -> None:
    """Refuse a model whose checkpoints transformers would fail to write, before hours of training are lost.

    Arguments:
        model: about to be trained.
        saved: whether the trainer writes checkpoints.

    Raises:
        OptionError: two layers share their core, as embedding and head of a language model do.
    """
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        if not isinstance(module, FactorizedLayer):
            continue
        owner = owners.setdefault(id(module.core), name)
        if saved and owner != name:
            raise OptionError(
                f"attach_tdlrt: {owner!r} and {name!r} share their factors, and the trainer saves no shared tensors "
                f"that transformers does not know; leave them dense with rankfold.factorize(..., exclude={name!r}), or "
                "train with save_strategy='no' and keep the model with rankfold.save."
            )

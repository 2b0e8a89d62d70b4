"""The ranks in a checkpoint of torch.distributed, which loads into tensors that have the stored shapes already."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from rankfold._errors import CheckpointError, OptionError
from rankfold.convert import factorized_layers
from rankfold.layers import require_module

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import Metadata

__all__ = ["restore_ranks"]


@torch.no_grad()
def restore_ranks(model: nn.Module, metadata: "Metadata") -> None:
    """Give factorised layers the ranks that they have in a checkpoint, with new random values.

    Call it before the model is sharded or wrapped and before its :class:`rankfold.TDLRT` is made; then load, which
    brings the values.

    Arguments:
        model: with factorised layers, at any ranks.
        metadata: of a checkpoint with the model's state under any prefix, such as that of an entry ``"model"``:
            ``torch.distributed.checkpoint.FileSystemReader(folder).read_metadata()``. This reads a pickle, so do it
            with checkpoints of your own only.

    Raises:
        OptionError: what is no such metadata, or no ``nn.Module``.
        CheckpointError: a layer that is not in it, or two that could be meant; nothing was changed.
        RankError: ranks that a layer cannot have.
    """
    require_module(model, "restore_ranks")
    stored = getattr(metadata, "state_dict_metadata", None)
    if not isinstance(stored, dict):
        raise OptionError(
            f"restore_ranks: metadata is a {type(metadata).__name__}; pass "
            "torch.distributed.checkpoint.FileSystemReader(folder).read_metadata()."
        )
    shapes = {f".{name}": tuple(entry.size) for name, entry in stored.items() if hasattr(entry, "size")}
    found = []
    for name, layer in factorized_layers(model):
        ending = f".{name}.core" if name else ".core"
        fitting = {shape for key, shape in shapes.items() if key.endswith(ending)}
        if len(fitting) != 1:
            raise CheckpointError(
                f"restore_ranks: the checkpoint holds {len(fitting) or 'no'} shapes for the core of layer {name!r}; "
                "pass that of one model, built like this one."
            )
        found.append((layer, fitting.pop()))
    for layer, shape in found:
        layer.reserve(shape)
        layer.reset_parameters()

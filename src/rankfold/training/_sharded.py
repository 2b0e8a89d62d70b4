"""Models whose dense rest is sharded by ``fully_shard``: which parameters stay whole, and what is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptimizerError
from rankfold.convert import factorized_layers
from rankfold.layers import FactorizedLayer, require_module

__all__ = ["clip_gradients", "is_sharded", "local", "low_rank_parameters", "require_whole", "split_sharded"]


def low_rank_parameters(model: nn.Module) -> set[nn.Parameter]:
    """The cores and factors of all layers over a Tucker tensor, whose shapes follow the ranks.

    They stay whole on every worker: pass them to ``torch.distributed.fsdp.fully_shard`` as ``ignored_params``.
    :class:`rankfold.TDLRT` averages their gradients.

    Arguments:
        model: a module with factorised layers, or none.

    Returns:
        Parameters of the model.

    Raises:
        OptionError: it is no ``nn.Module``.

    Example:
        >>> import rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
        >>> _ = rf.factorize(model, 2, exclude="1")
        >>> sorted(tuple(parameter.shape) for parameter in low_rank_parameters(model))
        [(2, 2), (8, 2), (8, 2)]
    """
    require_module(model, "low_rank_parameters")
    parts = (part for _, layer in factorized_layers(model) for part in layer.parts.values())
    return {
        part for part in parts if isinstance(part, nn.Parameter)
    }  # others are computed, and of fixed shape


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, of which each worker may hold a part."""
    return hasattr(tensor, "device_mesh")


def local(tensor: Any) -> Tensor:
    """The part of a tensor that this worker holds."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def require_whole(model: nn.Module, layers: Mapping[str, FactorizedLayer]) -> None:
    """Raise OptimizerError for cores and factors of which a worker holds a part only."""
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise OptimizerError(
                "TDLRT: FullyShardedDataParallel hides cores and factors in flat parameters; use "
                "torch.distributed.fsdp.fully_shard with ignored_params=rankfold.training.low_rank_parameters(model)."
            )
    for name, layer in layers.items():
        if any(is_sharded(part) for part in layer.parts.values()):
            raise OptimizerError(
                f"TDLRT: the core or a factor of layer {name!r} is a DTensor, sharded or tensor-parallel; they must be "
                "whole on every worker: give fully_shard ignored_params=rankfold.training.low_rank_parameters(model), "
                "and leave the layer out of parallelize_module."
            )
        if any(hasattr(part, "ds_id") for part in layer.parts.values()):
            raise OptimizerError(
                f"TDLRT: the core or a factor of layer {name!r} is partitioned by DeepSpeed's ZeRO stage 3; they must "
                "be whole on every worker: train with torch.distributed or DistributedDataParallel."
            )


def split_sharded(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups in which no DTensor is beside other tensors, for optimisers update all tensors of a group together."""
    result = []
    for group in groups:
        parts = [[p for p in group["params"] if is_sharded(p) == sharded] for sharded in (False, True)]
        result += [{**group, "params": part} for part in parts if part] or [dict(group)]
    return result


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale gradients so that their joint norm, over all workers, is at most ``max_norm``; returns the norm before."""
    listed = [parameter for parameter in parameters if parameter.grad is not None]
    sharded = [p for p in listed if is_sharded(p)]
    if not sharded:
        return nn.utils.clip_grad_norm_(listed, max_norm)
    whole = [p for p in listed if not is_sharded(p)]
    parts: list[Any] = [nn.utils.get_total_norm([p.grad for p in some]) for some in (whole, sharded) if some]  # pyright: ignore
    norms = [part.full_tensor() if is_sharded(part) else part for part in parts]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    for some in (whole, sharded):
        nn.utils.clip_grads_with_norm_(some, max_norm, norm)
    return norm

"""Which layers share a core, and an end to it."""

import torch
from torch import nn

from rankfold.layers import TTMatrixLinear, require_module
from rankfold.layers._resize import replace_data
from rankfold.sharing._share import SharedCore, described

__all__ = ["shared_cores", "unshare_cores"]


def shared_cores(model: nn.Module) -> tuple[SharedCore, ...]:
    """The groups of layers of a model that share a core, in the order of the model.

    Arguments:
        model: any module.

    Returns:
        One record per group, without errors.

    Example:
        >>> from rankfold.sharing import share_cores
        >>> model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))
        >>> for names in (["0", "1"], ["2", "3"]):
        ...     _ = share_cores(model, names)
        >>> [group.names for group in shared_cores(model)]
        [('0', '1'), ('2', '3')]
    """
    require_module(model, "shared_cores")
    return tuple(described(list(group), list(group.values()), place) for place, group in _groups(model))


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def unshare_cores(model: nn.Module) -> tuple[str, ...]:
    """Give every layer that shares a core a copy of its own, in place; nothing changes until they train apart.

    Make the optimiser after this. Layers that share all their cores, as tied weights do, go on doing so.

    Arguments:
        model: any module.

    Returns:
        The names of the layers that got a copy; the first of each group keeps the parameter.

    Example:
        >>> from rankfold.sharing import share_cores
        >>> model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))
        >>> _ = share_cores(model, ["0", "1", "2"])
        >>> unshare_cores(model), shared_cores(model)
        (('1', '2'), ())
    """
    require_module(model, "unshare_cores")
    copied: list[str] = []
    for place, group in _groups(model):
        for name, layer in list(group.items())[1:]:
            shared = layer.parts[f"core_{place}"]
            own = nn.Parameter(torch.empty_like(shared), requires_grad=shared.requires_grad)
            replace_data(own, shared.detach().clone())
            layer.register_parameter(f"core_{place}", own)
            copied.append(name)
    return tuple(copied)


def _groups(model: nn.Module) -> list[tuple[int, dict[str, TTMatrixLinear]]]:
    """For every core that layers with other first cores share its place and these layers by name."""
    users: dict[tuple[int, int], dict[str, TTMatrixLinear]] = {}
    firsts: set[int] = set()
    for name, module in model.named_modules():
        if not isinstance(module, TTMatrixLinear) or module.computed or id(module.leading) in firsts:
            continue
        firsts.add(id(module.leading))
        for place, part in enumerate(module.parts.values()):
            users.setdefault((id(part), place), {})[name] = module
    return [(place, group) for (_, place), group in users.items() if len(group) > 1]

"""Gates: one further factor for every value of a rank index, as a parametrisation of the tensor that they scale.

A rank term of a format is a product of parts: a column of every factor and the core for Tucker tensors, a column of
every factor and the weight for CP, a slice of every core for trains.
"""

from collections.abc import Mapping
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import OptionError
from rankfold.formats import CP, Format, Tucker
from rankfold.layers import FormatSite

__all__ = ["RankGates", "add_gates", "depth_of", "gates_for", "require_alone"]


class RankGates(nn.Module):
    """Parametrisation ``T -> T`` times gates along some of its axes.

    Arguments:
        sizes: by the name of the rank index the axis of the tensor and its size.
        count: gates for each value of an index; they are multiplied.
        like: a tensor whose dtype and device they have.
    """

    def __init__(self, sizes: Mapping[str, tuple[int, int]], count: int, like: Tensor) -> None:
        super().__init__()
        self.axes = {name: axis for name, (axis, _) in sizes.items()}
        self.gates = nn.ParameterDict(
            {
                name: nn.Parameter(torch.ones(count, size, dtype=like.dtype, device=like.device))
                for name, (_, size) in (sizes if count else {}).items()
            }
        )

    def forward(self, tensor: Tensor) -> Tensor:
        """The gated tensor."""
        for name, gates in self.gates.items():
            tensor = tensor * gates.prod(0).view(-1, *[1] * (tensor.ndim - 1 - self.axes[name]))
        return tensor

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """A tensor that is assigned is taken as it is; gates begin at 1."""
        with torch.no_grad():
            for gates in self.gates.values():
                gates.fill_(1.0)
        return tensor

    def extra_repr(self) -> str:
        """What the printed module tells."""
        return ", ".join(f"{name}: {tuple(gates.shape)}" for name, gates in self.gates.items())


def _parts(value: Format) -> tuple[int, int]:
    """How many parts a rank term has, and how many more it gets by one gate on every index."""
    if isinstance(value, Tucker):
        return len(value.modes) + 1, len(value.modes)
    if isinstance(value, CP):
        return value.order + 1, 1
    return len(value.tensors), len(value.tensors) - 1


def gates_for(value: Format, depth: int) -> int:
    """How many gates every index needs for terms of at least so many parts."""
    parts, more = _parts(value)
    return max(ceil((depth - parts) / more), 0) if more else 0


def depth_of(value: Format, count: int) -> int:
    """The number D of parts of a term with so many gates on every index."""
    parts, more = _parts(value)
    return parts + count * more


def add_gates(site: FormatSite, count: int) -> None:
    """Register gates on the tensors where the rank indices of a weight are scaled."""
    value = site.value
    by_tensor: dict[int, dict[str, tuple[int, int]]] = {}
    for name, places in value._latent_places().items():
        (number, axis), size = places[0], value.latent_axes()[name]
        by_tensor.setdefault(number, {})[name] = (axis, size)
    for number, sizes in by_tensor.items():
        gates = RankGates(sizes, count, site.tensors[number]).train(site.layer.training)
        parametrize.register_parametrization(site.holder, site.names[number], gates)


def require_alone(model: nn.Module, site: FormatSite) -> None:
    """Refuse a weight that is gated already, or that other modules use too.

    Raises:
        OptionError: it is.
    """
    if site.computed:
        raise OptionError(f"GatedRank: layer {site.name!r} is gated already; collapse it first.")
    own = {id(parameter) for parameter in site.parameters}
    users = {
        name.rpartition(".")[0]
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if id(parameter) in own
    }
    if len(users) > 1:
        raise OptionError(
            f"GatedRank: {', '.join(map(repr, sorted(users)))} share one weight, which cannot be gated in one place "
            "only; give each its own."
        )

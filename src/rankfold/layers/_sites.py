"""Where the weights of a model are stored in a format: one view of every kind of place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import ShapeError
from rankfold.formats import Format
from rankfold.layers._format_layer import FormatLayer
from rankfold.layers._format_weight import FormatWeight
from rankfold.layers._require import require_module
from rankfold.layers._resize import replace_data

__all__ = ["FormatSite", "format_sites"]


@dataclass(frozen=True, slots=True, eq=False)
class FormatSite:
    """A weight that is stored in a format: a factorised layer, or a plain one that :func:`write_weight` changed.

    Arguments:
        name: of the layer in the model.
        layer: the layer.
        holder: the module whose parameters the tensors are.
        names: of these parameters, in the order of the format's ``tensors``.
        weight: the module that makes a weight of them.
    """

    name: str
    layer: nn.Module
    holder: nn.Module
    names: tuple[str, ...]
    weight: FormatLayer | FormatWeight

    @property
    def value(self) -> Format:
        """The weight, sharing the live parameters; where they are computed, differentiable in what they come from."""
        if isinstance(self.weight, FormatLayer):
            return self.weight.value
        return self.weight.value(*self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the value."""
        return tuple(getattr(self.holder, name) for name in self.names)

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """What is trained of the weight: the tensors, or what they are computed from."""
        return tuple(p for name, p in self.holder.named_parameters() if name != "bias")

    @property
    def computed(self) -> tuple[str, ...]:
        """Names of the tensors that a parametrisation computes from others, such as gates do."""
        return tuple(name for name in self.names if parametrize.is_parametrized(self.holder, name))

    @torch.no_grad()
    def assign(self, value: Format) -> None:
        """Take over a value of the same format and shape and any ranks; parameters keep their identity.

        Raises:
            ShapeError: another format or shape, or a tensor that is computed from other parameters.
        """
        now = self.value
        if type(value) is not type(now) or value.shape != now.shape:
            raise ShapeError(
                f"layer {self.name!r}: got {value!r} for a weight that is {now!r}; format and shape must agree."
            )
        if self.computed:
            raise ShapeError(
                f"layer {self.name!r}: its {self.computed[0]} is computed by a parametrisation, such as the gates of "
                "GatedRank, and cannot be assigned; collapse or remove that first."
            )
        value = value.to(dtype=now.dtype, device=now.device)
        if isinstance(self.weight, FormatLayer):
            self.weight.assign(value)
            return
        for name, tensor in zip(self.names, value.tensors, strict=True):
            parameter: Any = self.holder._parameters[name]
            replace_data(parameter, tensor)
        self.weight.template = value.to(device="meta")


def format_sites(model: nn.Module) -> Iterator[FormatSite]:
    """The weights of a model that are stored in a format; of layers that share theirs only the first.

    Arguments:
        model: any module.

    Example:
        >>> from rankfold import TT
        >>> from rankfold.layers import Linear, format_sites, write_weight
        >>> model = nn.Sequential(Linear(8, 6, rank=2), nn.Linear(6, 5))
        >>> _ = write_weight(model[1], TT.from_dense(model[1].weight.detach(), ranks=3))
        >>> [(site.name, site.value) for site in format_sites(model)]
        [('0', Tucker(shape=(6, 8), ranks=(2, 2), float32)), ('1', TT(shape=(5, 6), ranks=(3,), float32))]
    """
    require_module(model, "format_sites")
    seen: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, FormatLayer):
            names = tuple(module.parts)
            site = FormatSite(name, module, module, names, module)
        elif parametrize.is_parametrized(module, "weight"):
            parametrizations: Any = module.parametrizations
            listed = parametrizations["weight"]
            if not isinstance(listed[0], FormatWeight):
                continue
            names = tuple(f"original{number}" for number in range(len(listed[0].template.tensors)))
            site = FormatSite(name, module, listed, names, listed[0])
        else:
            continue
        stored = next(p for own in names if (p := site.holder._parameters.get(own)) is not None)
        if id(stored) not in seen:
            seen.add(id(stored))
            yield site

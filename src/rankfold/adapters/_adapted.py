"""A frozen layer with an adapter."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.adapters._change import Change
from rankfold.layers import require_module

__all__ = ["AdaptedLayer", "adapted_layers", "require_adapted"]


class AdaptedLayer(nn.Module):
    """Stands in the place of a layer and calls it with a changed weight.

    Attributes that it does not have are those of the layer, such as ``in_features``; ``weight`` is the changed one.
    :func:`rankfold.adapters.attach` makes them.

    Arguments:
        base: the layer; its parameters are frozen.
        change: what the adapter does to its weight.
    """

    def __init__(self, base: nn.Module, change: Change) -> None:
        super().__init__()
        self.base, self.change = base.requires_grad_(False), change
        self._kept: Tensor | None = None
        self.train(base.training)

    @property
    def merged(self) -> bool:
        """Whether the layer holds the changed weight now."""
        return self._kept is not None

    @property
    def weight(self) -> Tensor:
        """The weight with the change, multiplied out anew at each access."""
        frozen = self.base.weight
        assert isinstance(frozen, Tensor)
        return frozen if self.merged else self.change.changed(frozen).to(frozen.dtype)

    def forward(self, *inputs: Any) -> Tensor:
        """As of the layer."""
        return self.base(*inputs) if self.merged else self.change.run(self.base, *inputs)

    @torch.no_grad()
    def merge(self) -> None:
        """Give the layer the changed weight; the frozen one is kept aside, so that :meth:`unmerge` is exact."""
        if not self.merged:
            frozen = self.base.weight
            assert isinstance(frozen, nn.Parameter)
            self._kept = frozen.data
            frozen.data = self.change.changed(frozen).to(frozen.dtype)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Give the layer its frozen weight back, bit for bit."""
        if self._kept is not None:
            frozen = self.base.weight
            assert isinstance(frozen, nn.Parameter)
            frozen.data, self._kept = self._kept.to(frozen.device, frozen.dtype), None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            modules = self.__dict__.get("_modules") or {}
            if name.startswith("_") or "base" not in modules:
                raise
            return getattr(modules["base"], name)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.merged:
            raise OptionError(
                f"{prefix[:-1]}: the adapter is merged, and its frozen weight would be lost; call "
                "adapters.unmerge(model) before saving, or adapters.detach(model, merge=True) to keep the merged one."
            )
        super()._save_to_state_dict(destination, prefix, keep_vars)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, AdaptedLayer]]:
    """Name and layer of every adapter of a model."""
    require_module(model, "adapters")
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLayer):
            yield name, module


def require_adapted(model: nn.Module, where: str) -> dict[str, AdaptedLayer]:
    """All adapters of a model, by the names of their layers.

    Raises:
        OptionError: there is none.
    """
    found = dict(adapted_layers(model))
    if not found:
        raise OptionError(f"adapters.{where}: the model has no adapter; call adapters.attach(model) first.")
    return found

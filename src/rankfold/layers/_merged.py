"""Keep what was merged from parameters from call to call while they stay what they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["MergedCore"]

Merged = TypeVar("Merged")

# Numbers compared per parameter, to notice changes that torch does not count (``parameter.data.copy_(...)``).
_SAMPLES = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A value, and what it was made from."""

    key: object
    value: Any
    # Sources are kept, so that no other tensor can come to lie at their address.
    sources: list[Tensor]
    versions: list[int]
    views: list[Tensor]
    samples: list[Tensor]

    def holds(self, key: object, parameters: Sequence[Tensor]) -> bool:
        if key != self.key:
            return False
        for now, then, version in zip(parameters, self.sources, self.versions, strict=True):
            if now._version != version or now.data_ptr() != then.data_ptr() or now.shape != then.shape:
                return False
        return all(map(torch.equal, self.views, self.samples))


class MergedCore:
    """What a layer in evaluation merged last: a core, groups of cores, a factor laid out anew."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self._kept: _Kept | None = None

    def get(self, key: object, parameters: Sequence[Tensor], merge: Callable[[], Merged]) -> Merged:
        """The stored value if it was made for the same key and nothing changed since, else a new one.

        Changes are seen by the parameters' storage and version, and by a sample of their values for writes through
        ``.data``, which leave both alone. Threads may call it at once.
        """
        kept = self._kept
        if kept is None or not kept.holds(key, parameters):
            sources = [parameter.detach() for parameter in parameters]
            views = [_sample(source) for source in sources]
            samples = [view.clone() for view in views]
            versions = [parameter._version for parameter in parameters]
            kept = self._kept = _Kept(key, merge(), sources, versions, views, samples)
        return kept.value


def _sample(parameter: Tensor) -> Tensor:
    size = parameter.numel()
    step = max(size // _SAMPLES, 1)
    # Also a tensor with permuted axes fills its storage without gaps.
    return torch.as_strided(parameter, (size // step,), (step,))

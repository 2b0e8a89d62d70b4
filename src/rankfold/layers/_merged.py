"""Keep a merged core, and a factor laid out anew, from call to call while the parameters stay what they are."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["MergedCore"]

Merged = tuple[Tensor, Tensor | None]

# Numbers compared per parameter, to notice changes that torch does not count (``parameter.data.copy_(...)``).
_SAMPLES = 32


class MergedCore:
    """The last merged core of a layer in evaluation, with what it was made from."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self._value: Merged | None = None
        self._key: object = None
        # Sources are kept, so that no other tensor can come to lie at their address.
        self._sources: list[Tensor] = []
        self._versions: list[int] = []
        self._views: list[Tensor] = []
        self._samples: list[Tensor] = []

    def get(self, key: object, parameters: Sequence[Tensor], merge: Callable[[], Merged]) -> Merged:
        """The stored value if it was made for the same key and nothing changed since, else a new one.

        Changes are seen by the parameters' storage and version, and by a sample of their values for writes through
        ``.data``, which leave both alone.
        """
        if self._value is None or key != self._key or self._changed(parameters):
            self._value, self._key = merge(), key
            self._sources = [parameter.detach() for parameter in parameters]
            self._versions = [parameter._version for parameter in parameters]
            self._views = [_sample(source) for source in self._sources]
            self._samples = [view.clone() for view in self._views]
        return self._value

    def _changed(self, parameters: Sequence[Tensor]) -> bool:
        for now, then, version in zip(parameters, self._sources, self._versions, strict=True):
            if now._version != version or now.data_ptr() != then.data_ptr() or now.shape != then.shape:
                return True
        return not all(map(torch.equal, self._views, self._samples))


def _sample(parameter: Tensor) -> Tensor:
    size = parameter.numel()
    step = max(size // _SAMPLES, 1)
    # Also a tensor with permuted axes fills its storage without gaps.
    return torch.as_strided(parameter, (size // step,), (step,))

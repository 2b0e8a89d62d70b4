"""Keep a merged core from call to call while the parameters stay what they are."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["MergedCore"]

# Numbers compared per parameter, to notice changes that torch does not count (``parameter.data.copy_(...)``).
_SAMPLES = 32


class MergedCore:
    """The last merged core of a layer in evaluation, with what it was made from."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self._key: tuple[object, ...] | None = None
        self._sources: list[Tensor] = []
        self._samples: list[Tensor] = []
        self._value: Tensor | None = None

    def get(
        self, sides: tuple[int, ...], parameters: Sequence[Tensor], merge: Callable[[], Tensor]
    ) -> Tensor:
        """The stored value if nothing changed since, else a new one.

        Changes are seen by the parameters' storage and version, and by a sample of their values for writes through
        ``.data``, which leave both alone.
        """
        # Sources are kept, so that no other tensor can come to lie at their address.
        key = (sides, *((p.data_ptr(), p._version, p.shape, p.dtype) for p in parameters))
        samples = [_sample(p) for p in parameters]
        if self._value is None or key != self._key or not all(map(torch.equal, samples, self._samples)):
            self._value = merge()
            self._key, self._sources = key, [p.detach() for p in parameters]
            self._samples = [sample.clone() for sample in samples]
        return self._value


def _sample(parameter: Tensor) -> Tensor:
    size = parameter.numel()
    step = max(size // _SAMPLES, 1)
    # Also a tensor with permuted axes fills its storage without gaps.
    return torch.as_strided(parameter.detach(), (size // step,), (step,))

"""What the tests of linear algebra share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rankfold.linalg import _batching


@pytest.fixture
def host_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensor methods called since that make the host wait for a device."""
    seen: list[str] = []

    def counting(name: str, method: Callable[..., object]) -> Callable[..., object]:
        def counted(self: Tensor, *arguments: object) -> object:
            seen.append(name)
            return method(self, *arguments)

        return counted

    names = ("item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__")
    for name in names:
        monkeypatch.setattr(torch.Tensor, name, counting(name, getattr(torch.Tensor, name)))
    return seen


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch same-shaped problems and never read a number early, as where that pays."""
    monkeypatch.setattr(_batching, "serial", lambda tensor: False)

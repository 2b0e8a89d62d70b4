"""Layers of every kind that calibration meets, with inputs for them."""

import torch
from torch import Tensor, nn

#: Name, layer, input of a few samples.
LAYERS: list[tuple[str, nn.Module, Tensor]] = []


def _add(name: str, layer: nn.Module, *shape: int) -> None:
    generator = torch.Generator().manual_seed(len(LAYERS) + 11)
    given = torch.randn(*shape, generator=generator, dtype=torch.float64)
    LAYERS.append((name, layer.double(), given + 0.3))


torch.manual_seed(5)
_add("linear", nn.Linear(7, 5), 6, 7)
_add("linear over positions", nn.Linear(7, 5, bias=False), 6, 3, 7)
_add("convolution", nn.Conv2d(4, 6, 3, padding=1), 5, 4, 6, 5)
_add("stride and dilation", nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=2), 5, 4, 7, 6)
_add("reflect", nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), 5, 4, 6, 5)
_add("same", nn.Conv2d(4, 6, (1, 3), padding="same"), 5, 4, 6, 5)
_add("one dimension", nn.Conv1d(4, 6, 3, padding=1), 5, 4, 8)
_add("three dimensions", nn.Conv3d(3, 4, 2), 4, 3, 4, 3, 4)

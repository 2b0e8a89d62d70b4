"""Networks with something in them that an export must carry over."""

import torch
from torch import Tensor, nn


class Convolutions(nn.Module):
    """Three inputs, three outputs: convolutions of every dimension, transposed, grouped, with every padding."""

    def __init__(self) -> None:
        super().__init__()
        self.signals = nn.Conv1d(8, 12, 3, padding=2, dilation=2)
        self.images = nn.Sequential(
            nn.ConvTranspose2d(8, 16, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect", groups=2),
            nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular", stride=2),
            nn.Conv2d(16, 8, 3, padding="same", padding_mode="replicate"),
        ).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.volumes = nn.Conv3d(8, 8, 3, padding=1, bias=False)

    def forward(self, signals: Tensor, images: Tensor, volumes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.signals(signals), self.images(images), self.volumes(volumes)


class Scaled(nn.Module):
    """Keyword arguments, constants, a mask that is no batch, a buffer, and a nested output with a hole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5)
        self.offset: Tensor
        self.register_buffer("offset", torch.arange(5.0))

    def forward(
        self, inputs: Tensor, *, mask: Tensor, scale: float = 1, negate: bool = False
    ) -> dict[str, object]:
        scores = (self.layer(inputs) * scale + self.offset) @ mask
        return {
            "scores": -scores if negate else scores,
            "none": None,
            "best": [scores.argmax(1), scores.mean()],
        }


class FixedBatch(nn.Module):
    """Takes two rows and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs).reshape(2, 4)


class Calls(nn.Module):
    """A linear layer, then what the test wants."""

    def __init__(self, function) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(self.layer(inputs))

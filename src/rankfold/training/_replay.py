"""Evaluate a closure twice as if it were once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["Replay"]


class Replay:
    """Remembers random state before a first forward, to repeat it with the same dropout masks.

    The two gradients of a TDLRT step belong to one loss on one batch. A second pass would draw other masks and
    move the running statistics of batch norms once more.

    Arguments:
        model: its parameters say which devices' random states matter; its buffers are restored.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.cpu = torch.get_rng_state()
        devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
        self.cuda = {device: torch.cuda.get_rng_state(device) for device in devices}

    @contextmanager
    def second_pass(self) -> Iterator[None]:
        """Context of the second pass: same random numbers, and buffers as the first pass left them."""
        # A forward may change a buffer in place or put another tensor in its place.
        buffers = [
            (module, name, buffer, buffer.clone())
            for module in self.model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        torch.set_rng_state(self.cpu)
        for device, state in self.cuda.items():
            torch.cuda.set_rng_state(state, device)
        try:
            yield
        finally:
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer.copy_(value)

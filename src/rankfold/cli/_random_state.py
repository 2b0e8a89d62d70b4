"""PyTorch's random states as tensors."""

from typing import Any

import torch

__all__ = ["random_state", "restore_random_state"]


def random_state() -> dict[str, Any]:
    """States of the generators of the CPU and of every CUDA device in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what :func:`random_state` gave; devices that are not here are left out."""
    torch.set_rng_state(state["cpu"])
    for index, value in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(value, index)

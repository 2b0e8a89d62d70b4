"""Keep the optimiser's own arithmetic out of autocast, and the user's closures in it."""

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["full_precision", "in_current_autocast"]


def full_precision(device_type: str) -> torch.autocast:
    """Context without autocast: bases and spectra are never computed in half precision."""
    return torch.autocast(device_type, enabled=False)


def in_current_autocast(closure: Callable[[], Any], device_type: str) -> Callable[[], Any]:
    """A closure that runs as it would here, wherever it is called."""
    enabled, dtype = torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)

    def run() -> Any:
        with torch.autocast(device_type, dtype=dtype, enabled=enabled):
            return closure()

    return run

"""Closures that trainers hand to an optimiser's step."""

from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["closure_first"]


def closure_first(
    optimizer: Optimizer, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Run a closure once and then step without one; a hook before the step.

    TDLRT may evaluate a closure twice, and a trainer's holds the last of several accumulated batches only, or nothing
    at all where the user calls backward.

    Arguments:
        optimizer: that is about to step.
        arguments, options: of its ``step``, the optimiser itself first.

    Returns:
        Arguments and options without the closure.
    """
    closure = arguments[1] if len(arguments) > 1 else options.get("closure")
    if closure is not None:
        with torch.enable_grad():
            closure()
    return arguments[:1], {}

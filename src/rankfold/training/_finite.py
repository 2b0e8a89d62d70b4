"""Find NaN and infinity: in gradients before they reach any state, and in cores."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from rankfold._errors import NonFiniteError
from rankfold.layers import FactorizedLayer

__all__ = ["non_finite_cores", "require_finite_gradients"]


def require_finite_gradients(
    names: Mapping[nn.Parameter, str], groups: Iterable[Mapping[str, Any]], step: int
) -> None:
    """Raise if any gradient holds NaN or infinity; one host sync if none does and no sum overflows.

    Arguments:
        names: of the model's parameters.
        groups: of the inner optimiser, which may list others.
        step: number of the step about to be made, for the message.

    Raises:
        NonFiniteError: names the step and the parameters.
    """
    others = {
        parameter: f"parameter {position} of group {index}"
        for index, group in enumerate(groups)
        for position, parameter in enumerate(group["params"])
        if parameter not in names
    }
    parameters = {**names, **others}
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    # Sums are the fastest reduction there is, and hand on what is not finite. They may overflow, so that only a
    # finite sum says something.
    sums = torch.stack([gradient.sum().to(gradients[0].device, torch.float32) for gradient in gradients])
    if bool(sums.isfinite().all()):
        return
    # The largest entry, not the 2-norm, which overflows float32 on large finite gradients.
    largest = torch._foreach_norm(gradients, ord=float("inf"))  # pyright: ignore[reportPrivateImportUsage]
    if bool(torch.stack([value.to(largest[0].device, torch.float32) for value in largest]).isfinite().all()):
        return
    bad = [
        name
        for parameter, name in parameters.items()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]
    if not bad:  # a float64 gradient too large for float32
        return
    some = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    raise NonFiniteError(
        f"TDLRT: at step {step} the gradient of {some} holds NaN or infinity, nothing was changed; "
        "lower the learning rate, clip the gradients, or look for an overflow in the forward pass."
    )


def non_finite_cores(layers: Mapping[str, FactorizedLayer], step: int) -> NonFiniteError:
    """The error that names the layers whose core holds NaN or infinity."""
    bad = [name for name, layer in layers.items() if not bool(layer.core.isfinite().all())]
    return NonFiniteError(
        f"TDLRT: after step {step} the core of {', '.join(bad)} holds NaN or infinity; "
        "lower the learning rate or clip the gradients, and start from the last checkpoint."
    )

"""Find NaN and infinity in gradients before they reach any state."""

from collections.abc import Mapping

import torch
from torch import nn

from rankfold._errors import NonFiniteError

__all__ = ["require_finite_gradients"]


def require_finite_gradients(parameters: Mapping[nn.Parameter, str], step: int) -> None:
    """Raise if any gradient holds NaN or infinity; one host sync if none does and no sum overflows.

    Arguments:
        parameters: the parameters and their names.
        step: number of the step about to be made, for the message.

    Raises:
        NonFiniteError: names the step and the parameters.
    """
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
    names = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    raise NonFiniteError(
        f"TDLRT: at step {step} the gradient of {names} holds NaN or infinity, nothing was changed; "
        "lower the learning rate, clip the gradients, or look for an overflow in the forward pass."
    )

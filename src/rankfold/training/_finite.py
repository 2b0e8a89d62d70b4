"""Find NaN and infinity: in gradients before they reach any state, and in cores."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._collectives import Workers
from rankfold._errors import NonFiniteError
from rankfold.layers import FactorizedLayer
from rankfold.training._sharded import is_sharded, local

__all__ = ["non_finite_cores", "require_finite_gradients"]


def require_finite_gradients(
    names: Mapping[nn.Parameter, str], groups: Iterable[Mapping[str, Any]], step: int, workers: Workers
) -> None:
    """Raise if any gradient holds NaN or infinity; one host sync if none does and no sum overflows.

    What was averaged over the workers is the same on each of them, NaN included; of a sharded gradient every worker
    sees its own part, so that they ask one another.

    Arguments:
        names: of the model's parameters.
        groups: of the inner optimiser, which may list others.
        step: number of the step about to be made, for the message.
        workers: who train the model together.

    Raises:
        NonFiniteError: names the step and the parameters.
    """
    others = {
        parameter: f"parameter {position} of group {index}"
        for index, group in enumerate(groups)
        for position, parameter in enumerate(group["params"])
        if parameter not in names
    }
    gradients = {
        name: local(parameter.grad)
        for parameter, name in {**names, **others}.items()
        if parameter.grad is not None and local(parameter.grad).numel()
    }
    bad = _non_finite(gradients)
    if any(is_sharded(parameter) for parameter in names):
        device = next(iter(names)).device
        if workers.any(bool(bad), device) and not bad:
            bad = ["a sharded parameter on another worker"]
    if bad:
        some = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise NonFiniteError(
            f"TDLRT: at step {step} the gradient of {some} holds NaN or infinity, nothing was changed; "
            "lower the learning rate, clip the gradients, or look for an overflow in the forward pass."
        )


def _non_finite(named: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    gradients = list(named.values())
    if not gradients:
        return []
    # Sums are the fastest reduction there is, and hand on what is not finite. They may overflow, so that only a
    # finite sum says something.
    sums = torch.stack([gradient.sum().to(gradients[0].device, torch.float32) for gradient in gradients])
    if bool(sums.isfinite().all()):
        return []
    # The largest entry, not the 2-norm, which overflows float32 on large finite gradients.
    largest = torch._foreach_norm(gradients, ord=float("inf"))  # pyright: ignore[reportPrivateImportUsage]
    if bool(torch.stack([value.to(largest[0].device, torch.float32) for value in largest]).isfinite().all()):
        return []
    # None, where a float64 gradient is too large for float32.
    return [name for name, gradient in named.items() if not bool(gradient.isfinite().all())]


def non_finite_cores(layers: Mapping[str, FactorizedLayer], step: int) -> NonFiniteError:
    """The error that names the layers whose core holds NaN or infinity."""
    bad = [name for name, layer in layers.items() if not bool(layer.core.isfinite().all())]
    return NonFiniteError(
        f"TDLRT: after step {step} the core of {', '.join(bad)} holds NaN or infinity; "
        "lower the learning rate or clip the gradients, and start from the last checkpoint."
    )

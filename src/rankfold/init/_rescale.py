"""Move scale from layer to layer without changing the function."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, fsum, log
from operator import mul
from typing import Literal, get_args

from torch import nn

from rankfold._checks import check_positive
from rankfold._errors import OptionError
from rankfold.init._layer_weights import checked_layers, scale_weight

__all__ = ["RescaledLayer", "rescale_layers"]

Schedule = Literal["ramp", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescaledLayer:
    """What happened to one layer, and the change of learning rates that does the same.

    Arguments:
        factor: its weight was multiplied by it.
        bias_factor: its bias was, the product of the factors up to this layer.
        rate: gradient descent with a learning rate of ``lr * rate`` for the weight of the network as it was equals
            gradient descent with ``lr`` of the rescaled one: ``1 / factor²``.
        bias_rate: the same for the bias.
    """

    factor: float
    bias_factor: float
    rate: float
    bias_rate: float


def rescale_layers(
    layers: Sequence[nn.Module],
    alpha: float | None = None,
    *,
    schedule: Schedule = "ramp",
    factors: Sequence[float] | None = None,
) -> tuple[RescaledLayer, ...]:
    """Multiply the weights of consecutive layers by factors whose product is 1, in place.

    Between layers there must be nothing but functions f with ``f(c x) = c f(x)`` for c > 0: ReLU, its leaky kind,
    pooling, dropout, flattening. Then the network computes the same, for biases are scaled along. Its gradients do not
    stay the same: under gradient descent the change is one of learning rates, layer by layer, and nothing else, as
    :class:`RescaledLayer` says. Batch norm between layers undoes it; Adam does not see the scale of gradients; momentum
    is fine.

    Small early and large late layers have been proposed as an initialisation of its own. Where the learning rate is far
    too small it helps, as any larger rate for early layers does.

    Arguments:
        layers: two or more, first to last; plain or factorised layers.
        alpha: base of the factors, over 0. Counted from the middle outwards, layer n gets ``alpha^-n`` before it and
            ``alpha^n`` after it; of an odd number the middle one stays as it is.
        schedule: ``'ramp'`` for that, or ``'step'`` with n = 1 for all.
        factors: instead of alpha one number over 0 per layer; they are divided by their geometric mean.

    Returns:
        One row per layer.

    Raises:
        OptionError: not exactly one of alpha and factors, a number out of range, or layers without own weights.

    Reference:
        Li, George, Silva 2024, "Emergence-promoting initialization" (the ramp).

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).double()
        >>> x = torch.randn(3, 4).double()
        >>> before = model(x)
        >>> rows = rescale_layers([model[0], model[2], model[4]], 2.0)
        >>> [row.factor for row in rows], torch.allclose(model(x), before)
        ([0.5, 1.0, 2.0], True)
    """
    listed = checked_layers("rescale_layers", layers, 2)
    if (alpha is None) == (factors is None):
        raise OptionError(
            "rescale_layers: takes exactly one of alpha and factors, got both or none; pass one."
        )
    if alpha is not None:
        check_positive("rescale_layers", "alpha", alpha)
        if schedule not in get_args(Schedule):
            raise OptionError(
                f"rescale_layers: schedule must be one of {', '.join(get_args(Schedule))}, got {schedule!r}; "
                "choose one."
            )
        factors = [float(alpha) ** power for power in _powers(len(listed), schedule)]
    assert factors is not None
    if len(factors) != len(listed):
        raise OptionError(
            f"rescale_layers: got {len(factors)} factors for {len(listed)} layers; pass one per layer."
        )
    for factor in factors:
        check_positive("rescale_layers", "a factor", factor)
    mean = fsum(log(factor) for factor in factors) / len(factors)
    scaled = [factor / exp(mean) for factor in factors]
    rows = [
        RescaledLayer(factor=factor, bias_factor=total, rate=factor**-2, bias_rate=total**-2)
        for factor, total in zip(scaled, accumulate(scaled, mul), strict=True)
    ]
    for layer, row in zip(listed, rows, strict=True):
        scale_weight(layer, row.factor, row.bias_factor)
    return tuple(rows)


def _powers(count: int, schedule: Schedule) -> list[int]:
    half = count // 2
    outwards = [1] * half if schedule == "step" else list(range(1, half + 1))
    return [*(-power for power in reversed(outwards)), *[0] * (count % 2), *outwards]

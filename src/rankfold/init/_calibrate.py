"""Scale weights until the loss is curved alike in every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, isfinite, log

import torch
from torch import Tensor, nn

from rankfold._checks import check_count, check_generator, check_positive
from rankfold._errors import NonFiniteError, OptionError
from rankfold.init._curvature import hessian_norms
from rankfold.init._layer_weights import checked_layers, scale_weight, scaled_parameter
from rankfold.init._rescale import rescale_layers

__all__ = ["CalibratedLayer", "calibrate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedLayer:
    """One layer before and after calibration.

    Arguments:
        factor: its weight was multiplied by it.
        before, after: spectral norm of its block of the Hessian.
    """

    factor: float
    before: float
    after: float


def calibrate(
    layers: Sequence[nn.Module],
    loss: Callable[[], Tensor],
    *,
    target: float | None = None,
    tolerance: float = 0.05,
    rounds: int = 10,
    iterations: int = 30,
    generator: torch.Generator | None = None,
) -> tuple[CalibratedLayer, ...]:
    """Scale the weights of consecutive layers so that the Hessian blocks of a loss have equal spectral norms, in place.

    For layers with ReLU between them the block of layer k is the product of the energy that reaches it forwards and the
    squared one that reaches it backwards, so that multiplying its weight by s divides the norm by s². One round
    equalises such a network and leaves its function as it is; others take a few. A loss that is curved alike lets one
    learning rate serve all layers.

    It is an experiment: whether it trains better than He's initialisation depends on the network. Batch norm makes a
    weight's scale meaningless, and its own curvature fall with it, so do not calibrate layers before it.

    Arguments:
        layers: first to last, with nothing but functions f with ``f(c x) = c f(x)`` between them; plain or Tucker
            layers, of which the core counts.
        loss: computes the loss of one batch, the same at every call: no dropout, no batch norm in training.
        target: the norm that all blocks shall have; it changes the function, by one factor for all layers. None keeps
            the function, and the blocks meet at the geometric mean of their norms.
        tolerance: the norms may differ from each other, and from the target, by this share; over 0.
        rounds: most rounds of measuring and scaling, at least 1.
        iterations: of each power iteration.
        generator: source of their starts; None is torch's global one.

    Returns:
        One row per layer. A tolerance that was not reached shows in them.

    Raises:
        OptionError: an argument out of range, layers without a weight of their own, or a loss not curved in one.
        NonFiniteError: a loss whose curvature is NaN or infinite; the weights are as they were.

    Reference:
        Skorski, Temperoni, Theobald 2021, "Revisiting weight initialization of deep neural networks".

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).double()
        >>> x, y = torch.randn(64, 8).double(), torch.randint(0, 4, (64,))
        >>> rows = calibrate([model[0], model[2]], lambda: nn.functional.cross_entropy(model(x), y))
        >>> max(row.before for row in rows) > 2 * min(row.before for row in rows)
        True
        >>> max(row.after for row in rows) < 1.05 * min(row.after for row in rows)
        True
    """
    listed = checked_layers("calibrate", layers, 2)
    check_positive("calibrate", "target", target, none=True)
    check_generator("calibrate", generator)
    check_positive("calibrate", "tolerance", tolerance)
    check_count("calibrate", "rounds", rounds)
    check_count("calibrate", "iterations", iterations)
    parameters = [scaled_parameter(layer) for layer in listed]
    biases = [bias for layer in listed if (bias := layer._parameters.get("bias")) is not None]
    saved = [parameter.detach().clone() for parameter in (*parameters, *biases)]

    def measured() -> list[float]:
        return _checked_norms(hessian_norms(loss, parameters, iterations=iterations, generator=generator))

    factors = [1.0] * len(listed)
    try:
        before = now = measured()
        for _ in range(rounds):
            level = exp(fsum(map(log, now)) / len(now))
            wanted = level if target is None else target
            if all(abs(log(norm / wanted)) <= log(1 + tolerance) / 2 for norm in now):
                break
            # Scaling all weights by c scales the outputs by c^L and every block, but for the curvature of the loss in
            # the outputs, by c^(2 L - 2).
            common = (wanted / level) ** (1 / (2 * len(listed) - 2))
            rows = rescale_layers(listed, factors=[(norm / level) ** 0.5 for norm in now])
            for position, layer in enumerate(listed, start=1):
                scale_weight(layer, common, common**position)
            factors = [old * row.factor * common for old, row in zip(factors, rows, strict=True)]
            now = measured()
    except BaseException:
        with torch.no_grad():
            for parameter, value in zip((*parameters, *biases), saved, strict=True):
                parameter.copy_(value)
        raise
    return tuple(
        CalibratedLayer(factor=factor, before=old, after=new)
        for factor, old, new in zip(factors, before, now, strict=True)
    )


def _checked_norms(norms: list[float]) -> list[float]:
    for number, norm in enumerate(norms):
        if not isfinite(norm):
            raise NonFiniteError(
                f"calibrate: the curvature in layer {number} is {norm}; the weights are as they were, start from a "
                "smaller scale."
            )
        if norm == 0:
            raise OptionError(
                f"calibrate: the loss is not curved in layer {number}; leave it out, pass a batch that reaches "
                "it, or take a target at which the loss does not saturate."
            )
    return norms

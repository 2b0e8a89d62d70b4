"""How far from lazy a training is: movement of the weights, and the constants of the theory.

Axes: N samples, O outputs, P parameters, M features.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankfold._checks import check_tensors
from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.layers import require_module
from rankfold.linalg import left_singular

__all__ = ["laziness", "pl_constant", "tangent_kernel"]


@torch.no_grad()
def laziness(model: nn.Module, reference: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each parameter has moved, relative to its norm at the start; near 0 is lazy.

    Arguments:
        model: any module without layers whose ranks have changed.
        reference: its state dictionary at the start, every tensor of it cloned.

    Returns:
        The distance over the norm at the start, by name; infinity where a parameter has left zero.

    Raises:
        OptionError: the reference lacks a parameter, or has it in another shape.

    Reference:
        Chizat, Oyallon and Bach 2019, "On lazy training in differentiable programming".

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> start = {name: value.clone() for name, value in model.state_dict().items()}
        >>> _ = model.weight.data.mul_(1.5)
        >>> {name: round(value, 3) for name, value in laziness(model, start).items()}
        {'weight': 0.5}
    """
    require_module(model, "laziness")
    if not isinstance(reference, Mapping):
        raise OptionError(
            f"laziness: reference is a {type(reference).__name__}; pass the state dictionary at the start, cloned."
        )
    found = {}
    for name, parameter in model.named_parameters():
        before = reference.get(name)
        if before is None or before.shape != parameter.shape:
            got = "none" if before is None else tuple(before.shape)
            raise OptionError(
                f"laziness: the reference has {got} for {name!r} of shape {tuple(parameter.shape)}; pass the state of "
                "the same model at the start (of factorised layers with changing ranks look at UpdateRank)."
            )
        before = before.to(parameter.device, torch.float64)
        moved, size = float((parameter.double() - before).norm()), float(before.norm())
        found[name] = moved / size if size else (0.0 if moved == 0 else float("inf"))
    return found


def pl_constant(features: Tensor) -> float:
    """The constant of the Polyak-Lojasiewicz inequality that the last layer gives: the least squared singular value.

    For a loss ``|F V - Y|^2 / 2`` with features F of all samples, ``|dL/dV|^2 >= pl_constant(F) |F V - Y|^2``: where it
    is positive, gradient descent converges linearly while the features stay near.

    Arguments:
        features: ``(N, M)``, what the last layer is given for N samples; 0 where M < N.

    Raises:
        ShapeError: no matrix, or empty.
        NonFiniteError: NaN or infinity.

    Reference:
        Song, Ramezani-Kebrya, Pethick, Eftekhari and Cevher 2021, "Subquadratic overparameterization for shallow neural
        networks".

    Example:
        >>> pl_constant(torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
        4.0
    """
    check_tensors("pl_constant", (features,))
    if features.ndim != 2 or features.numel() == 0:
        raise ShapeError(
            f"pl_constant: got shape {tuple(features.shape)}; pass a matrix of samples by features."
        )
    if not bool(features.isfinite().all()):
        raise NonFiniteError("pl_constant: the features hold NaN or infinity; look at an earlier state.")
    if features.shape[1] < features.shape[0]:
        return 0.0
    return float(left_singular(features.detach(), "svd")[1][-1]) ** 2


def tangent_kernel(model: nn.Module, inputs: Tensor) -> Tensor:
    """The empirical neural tangent kernel: inner products of the gradients of all outputs of all samples.

    Arguments:
        model: maps ``(N, ...)`` to ``(N, O)``; must not mix samples, as batch norms in training do.
        inputs: ``(N, ...)``; N times O times the number of parameters P should fit into memory.

    Returns:
        ``(N O, N O)``, symmetric, outputs of one sample together.

    Raises:
        ShapeError: inputs that are no tensor, or outputs that are no matrix.
        OptionError: every parameter is frozen.

    Reference:
        Jacot, Gabriel and Hongler 2018, "Neural tangent kernel".

    Example:
        >>> tangent_kernel(nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [1.0, 2.0]])).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    require_module(model, "tangent_kernel")
    if not isinstance(inputs, Tensor):
        raise ShapeError(f"tangent_kernel: the inputs are a {type(inputs).__name__}; pass a tensor.")
    outputs = model(inputs)
    if outputs.ndim != 2 or len(outputs) != len(inputs):
        raise ShapeError(
            f"tangent_kernel: the model gives {tuple(outputs.shape)}; it must give (samples, outputs)."
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise OptionError("tangent_kernel: no parameter of the model requires a gradient; unfreeze some.")
    rows_P = []
    for value in outputs.flatten():
        gradients = torch.autograd.grad(
            value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows_P.append(torch.cat([gradient.flatten() for gradient in gradients]))
    jacobian = torch.stack(rows_P)
    return jacobian @ jacobian.mT

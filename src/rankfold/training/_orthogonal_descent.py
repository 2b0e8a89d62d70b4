"""Descent with momentum that stays on the orthogonal matrices.

Axes: ... batch, d size.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.linalg import orthonormality_defect

__all__ = ["OrthogonalDescent"]

# Choice of this library: far above the drift of two iterations over a run, far below any matrix of another kind.
_ORTHOGONAL = 0.05


class OrthogonalDescent(Optimizer):
    """Gradient descent with momentum on orthogonal matrices, by Cayley's retraction.

    The momentum ``M <- μ M + G`` is made tangent at X: with ``Ω = W - Wᵀ``, ``W = M Xᵀ - X Xᵀ M Xᵀ / 2``, which for an
    orthogonal X is ``(M Xᵀ - X Mᵀ) / 2``, ``M <- Ω X`` is its orthogonal projection. (The shorter form would multiply
    the momentum by ``X Xᵀ`` at every step, and run away once that has drifted above 1 / μ; in this one a drift of ε
    counts as ε².) The step ``-a`` along M goes on the curve ``Y(a) = (I + a Ω / 2)⁻¹ (I - a Ω / 2) X``, which begins in
    direction -ΩX and whose points are all orthogonal. Y solves ``Y = X - (a / 2) Ω (X + Y)``, which is iterated from
    ``Y = X - a M``. With ``a = min(lr, 1 / |Ω|)``, in the Frobenius norm, each iteration at least halves the error.

    What is left of the error is a drift away from the orthogonal matrices. Turned by ``±2 atan θ`` in some plane, X is
    stretched there by about ``1 + 2 θ⁴`` with 1 iteration and ``1 - 2 θ⁴`` with 2, so that one more helps only from the
    second on, and long steps leave most. ``iterations=None`` solves exactly.

    A decay of weights would leave the orthogonal matrices, so there is none.

    Arguments:
        params: orthogonal matrices ``(..., d, d)`` in float32 or float64, or groups of them; as the free matrices of
            :func:`rankfold.convert.orthogonalize` with ``map='direct'``.
        lr: step length, above or equal to 0.
        momentum: μ in [0, 1).
        iterations: of the fixed point, from 1, or None for the exact solution.
        maximize: climb instead.

    Raises:
        ShapeError: a parameter that is no square matrix of float32 or float64.
        OptionError: an option out of range, or a parameter that is not orthogonal.
        NonFiniteError: at a step, NaN or infinity in a gradient; nothing was changed.

    Reference:
        Li, Fuxin and Todorovic 2020, "Efficient Riemannian Optimization on the Stiefel Manifold via the Cayley
        Transform", algorithm 1; Liu et al. 2021, "Orthogonal Over-Parameterized Training", with 2 iterations.

    Example:
        >>> matrix = torch.nn.Parameter(torch.eye(2))
        >>> optimizer = OrthogonalDescent([matrix], lr=0.1, iterations=None)
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     matrix[0, 1].backward()
        ...     optimizer.step()
        >>> matrix.detach().round().tolist()
        [[0.0, -1.0], [1.0, 0.0]]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 0.02,
        momentum: float = 0.9,
        *,
        iterations: int | None = 2,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "iterations": iterations, "maximize": maximize}
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add orthogonal matrices with options of their own; arguments and errors as of the class."""
        _check_options({**self.defaults, **param_group})
        given = param_group["params"]
        if not isinstance(given, Tensor | set):  # torch refuses sets, which have no order
            given = list(given)
            param_group = {**param_group, "params": given}
        for entry in [given] if isinstance(given, Tensor) else given:
            parameter = entry[1] if isinstance(entry, tuple) else entry  # torch allows (name, parameter)
            if isinstance(parameter, Tensor):  # torch tells what else is wrong
                _check_parameter(parameter)
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step.

        Arguments:
            closure: evaluates the model and its gradients again, and returns the loss.

        Returns:
            What the closure returned, or None.

        Raises:
            NonFiniteError: NaN or infinity in a gradient; no parameter and no state was changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moved = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        _require_finite([p.grad for _, p in moved])
        for group, parameter in moved:
            self._move(group, parameter)
        return loss

    def _move(self, group: dict[str, Any], parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        momentum = -gradient if group["maximize"] else gradient
        state = self.state[parameter]
        if "momentum_buffer" in state:
            momentum = momentum + group["momentum"] * state["momentum_buffer"]
        turned = momentum @ parameter.mT
        turned = turned - 0.5 * parameter @ (parameter.mT @ turned)
        omega = turned - turned.mT
        if group["momentum"]:
            state["momentum_buffer"] = omega @ parameter
        parameter.copy_(retract(parameter, omega, group["lr"], group["iterations"]))


def retract(matrix: Tensor, omega: Tensor, lr: float | Tensor, iterations: int | None) -> Tensor:
    """``(I + a Ω / 2)⁻¹ (I - a Ω / 2) X`` for ``a = min(lr, 1 / |Ω|)``, exact or by fixed-point iterations."""
    length = torch.linalg.vector_norm(omega, dim=(-2, -1), keepdim=True)
    limit = torch.where(length > 0, length, 1.0).reciprocal()
    allowed = torch.as_tensor(lr, dtype=omega.dtype, device=omega.device)
    half = 0.5 * torch.minimum(limit, allowed) * omega
    if iterations is None:
        identity = torch.eye(omega.shape[-1], dtype=omega.dtype, device=omega.device)
        return torch.linalg.solve(identity + half, matrix - half @ matrix)
    result = matrix - 2 * half @ matrix
    for _ in range(iterations):
        result = matrix - half @ (matrix + result)
    return result


def _check_options(options: dict[str, Any]) -> None:
    lr, momentum, iterations = options["lr"], options["momentum"], options["iterations"]
    if not 0 <= _number(lr) < float("inf"):
        raise OptionError(f"OrthogonalDescent: lr must be a number from 0, got {lr}; 0.02 is the paper's.")
    if not 0 <= _number(momentum) < 1:
        raise OptionError(f"OrthogonalDescent: momentum must lie in [0, 1), got {momentum}; 0.9 is common.")
    if iterations is not None and (
        isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1
    ):
        raise OptionError(
            f"OrthogonalDescent: iterations must be a whole number from 1, or None for exact, got {iterations!r}; 2 is "
            "the paper's."
        )


def _number(value: Any) -> float:
    """The value as a number, NaN for what is none."""
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        return float("nan")


def _check_parameter(parameter: Tensor) -> None:
    if (
        parameter.ndim < 2
        or parameter.shape[-1] != parameter.shape[-2]
        or parameter.dtype not in (torch.float32, torch.float64)
    ):
        raise ShapeError(
            f"OrthogonalDescent: got a parameter of shape {tuple(parameter.shape)} and dtype {parameter.dtype}, "
            "allowed are square matrices of float32 or float64; give the others to another optimiser."
        )
    if parameter.numel():
        with torch.no_grad():
            defect = float(orthonormality_defect(parameter).amax())
        if not defect <= _ORTHOGONAL:
            raise OptionError(
                f"OrthogonalDescent: got a matrix with |RᵀR - I| of {defect:.1e}, allowed is {_ORTHOGONAL}; start from "
                "an orthogonal one, as orthogonalize(model, 'direct') does."
            )


def _require_finite(gradients: list[Tensor]) -> None:
    """One host sync for all gradients together."""
    if not gradients:
        return
    flags = torch.stack([gradient.isfinite().all().to(gradients[0].device) for gradient in gradients])
    if not bool(flags.all()):
        raise NonFiniteError(
            "OrthogonalDescent: a gradient holds NaN or infinity, nothing was changed; lower the learning rate, clip "
            "the gradients, or look for an overflow in the forward pass."
        )

"""A shallow network whose scale is shared differently by its two layers, trained on all images at once.

Axes: N images, O classes, H neurons.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.diagnostics import laziness, pl_constant
from rankfold.init import initialize_two_layers
from rankfold.linalg import power_iteration
from rankfold.studies._image_parts import image_parts
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting

__all__ = ["largest_tangent_eigenvalue", "train_shallow"]

_PIXELS, _MOMENTUM = 8, 0.9
_LOOKED_AT = (0, 3, 10, 30, 100, 200, 300, 500, 1000, 2000, 3000, 5000)  # steps


def train_shallow(case: Case, setting: Setting) -> Record:
    """Train ``V gelu(W x)`` on the squared loss ``|R|^2 / 2``, all images in every step.

    Arguments:
        case: ratio of the deviation of V to He's, whether W is frozen, neurons, images, steps, seed.
        setting: where.

    Returns:
        The least ratio of ``|dL/dV|^2`` and of the whole squared gradient to ``pl_constant |R|^2`` where they were
        looked at, and by step the loss over images, accuracies and the relative movement of W.
    """
    data = image_parts("digits", case["images"], 0, _PIXELS, setting.data_dir, setting.device)
    (x, labels), (test_x, test_labels) = ((x.flatten(1), y) for x, y in (data.train, data.test))
    y = F.one_hot(labels, data.classes).to(x.dtype)
    generator = torch.Generator().manual_seed(case["seed"])
    first = nn.Linear(x.shape[1], case["neurons"], bias=False)
    second = nn.Linear(case["neurons"], data.classes, bias=False)
    initialize_two_layers(first, second, case["ratio"], generator=generator)
    model = nn.Sequential(first, nn.GELU(), second).to(setting.device)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    first.weight.requires_grad_(not case["frozen"])
    rate = 1 / largest_tangent_eigenvalue(model, x, generator)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate, momentum=_MOMENTUM)
    curve: list[dict[str, float]] = []
    ratios: list[tuple[float, float]] = []
    for step in range(case["steps"] + 1):
        optimizer.zero_grad()
        residual = model(x) - y
        loss = residual.square().sum() / 2
        loss.backward()
        if step in _LOOKED_AT or step == case["steps"]:
            ratios.append(_pl_ratios(model, x, residual.detach()))
            curve.append(
                {
                    "step": step,
                    "loss": float(loss.detach()) / len(x),
                    "train": _accuracy(model, x, labels),
                    "test": _accuracy(model, test_x, test_labels),
                    "movement": laziness(model, start)["0.weight"],
                }
            )
        if step < case["steps"]:
            optimizer.step()
    return {
        "rate": rate,
        "last layer": min(last for last, _ in ratios),
        "whole": min(whole for _, whole in ratios),
        "curve": curve,
    }


def largest_tangent_eigenvalue(model: nn.Module, x: Tensor, generator: torch.Generator) -> float:
    """Of the tangent kernel of the parameters that are trained, by products with it only.

    Arguments:
        model: maps ``(N, ...)`` to ``(N, O)``.
        x: inputs.
        generator: source of the start of the power iteration.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    outputs_NO = model(x)
    # Gradients are linear in what they are pulled back from, so their derivative by it multiplies by the Jacobian.
    dual_NO = torch.zeros_like(outputs_NO, requires_grad=True)
    linear = torch.autograd.grad(outputs_NO, trained, dual_NO, create_graph=True)

    def apply(vector_NO: Tensor) -> Tensor:
        gradients = torch.autograd.grad(outputs_NO, trained, vector_NO, retain_graph=True)
        return torch.autograd.grad(linear, dual_NO, gradients, retain_graph=True)[0]

    start_NO = torch.randn(outputs_NO.shape, generator=generator).to(outputs_NO)
    return power_iteration(apply, start_NO)


@torch.no_grad()
def _pl_ratios(model: nn.Sequential, x: Tensor, residual: Tensor) -> tuple[float, float]:
    """Squared gradients over what the inequality asks for: of the last layer, and of all that is trained."""
    squares = [
        float(p.grad.double().square().sum()) if p.grad is not None else 0.0 for p in model.parameters()
    ]
    asked = pl_constant(model[:-1](x)) * float(residual.double().square().sum())
    return squares[-1] / asked, sum(squares) / asked


@torch.no_grad()
def _accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float((model(x).argmax(1) == labels).double().mean())

"""Curvature of the loss layer by layer: against exact Hessians, against the chain rule, over depth and scale."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.diagnostics import hessian_norms
from rankfold.studies._digits import PIXELS, digits, perceptron
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting

__all__ = ["draw_he", "exact_norms", "factorised_block", "swept_norms"]

_IMAGES = 300


def draw_he(model: nn.Module, scale: float = 1.0) -> nn.Module:
    """Normal weights of He's deviation ``sqrt(2 / inputs)`` times a scale, and no biases; from torch's generator.

    Reference:
        He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", equation 10.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, scale * math.sqrt(2 / layer.in_features))
            nn.init.zeros_(layer.bias)
    return model


def exact_norms(case: Case, setting: Setting) -> Record:
    """Power iteration and Hutchinson's estimate beside the whole block of the Hessian, 12-10-8 units with tanh."""
    torch.manual_seed(case["seed"])
    model = nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 8), nn.Tanh()).double()
    inputs, targets = (torch.randn(30, size, dtype=torch.float64) for size in (12, 8))

    def loss() -> Tensor:
        return F.mse_loss(model(inputs), targets)

    spectral = hessian_norms(loss, model, iterations=case["iterations"])
    frobenius = hessian_norms(loss, model, kind="frobenius", iterations=case["iterations"])
    parameters = dict(model.named_parameters())
    errors: dict[str, list[float]] = {"spectral": [], "frobenius": []}
    for name, parameter in parameters.items():
        if parameter.ndim < 2:
            continue
        block = _block(model, name, inputs, targets)
        errors["spectral"].append(abs(spectral[name] / float(torch.linalg.matrix_norm(block, 2)) - 1))
        errors["frobenius"].append(abs(frobenius[name] / float(block.norm()) - 1))
    return {name: max(values) for name, values in errors.items()}


def _block(model: nn.Module, name: str, inputs: Tensor, targets: Tensor) -> Tensor:
    parameter = dict(model.named_parameters())[name]

    def loss(flat: Tensor) -> Tensor:
        named = {name: flat.view_as(parameter)}
        return F.mse_loss(torch.func.functional_call(model, named, (inputs,)), targets)

    block = torch.autograd.functional.hessian(loss, parameter.detach().flatten())
    assert isinstance(block, Tensor)
    return block


def factorised_block(case: Case, setting: Setting) -> Record:
    """The norm of a middle block beside ``||a||² ||Jᵀ H_out J||``, for one sample.

    What is left out is the curvature of the activation, which is zero for ReLU and not for tanh.
    """
    torch.manual_seed(case["seed"])
    activation: nn.Module = nn.ReLU() if case["activation"] == "relu" else nn.Tanh()
    model = nn.Sequential(nn.Linear(7, 6), activation, nn.Linear(6, 5), activation, nn.Linear(5, 4)).double()
    draw_he(model)
    inputs = torch.randn(1, 7, dtype=torch.float64)
    labels = torch.randint(4, (1,))
    hidden = activation(model[0](inputs))
    before = model[2](hidden)
    jacobian = torch.autograd.functional.jacobian(lambda z: model[4](activation(z)), before).squeeze()
    assert isinstance(jacobian, Tensor)
    probability = torch.softmax(model(inputs), 1).detach()[0]
    curved = torch.diag(probability) - probability.outer(probability)
    backward = torch.linalg.matrix_norm(jacobian.mT @ curved @ jacobian, 2)
    predicted = float(hidden.detach().square().sum() * backward)
    found = hessian_norms(lambda: F.cross_entropy(model(inputs), labels), model, iterations=300)
    return {"predicted": predicted, "measured": found["2.weight"]}


def swept_norms(case: Case, setting: Setting) -> Record:
    """The largest norm over layers of a ReLU network with this number of layers, weights He's times a scale."""
    inputs, labels = (part[:_IMAGES] for part in digits(setting.data_dir).train)
    inputs = inputs.double()
    torch.manual_seed(case["seed"])
    model = perceptron(PIXELS, *[case["width"]] * (case["layers"] - 1), 10).double()
    draw_he(model, case["scale"])
    targets = F.one_hot(labels, 10).double()
    losses: dict[str, Callable[[], Tensor]] = {
        "squared": lambda: F.mse_loss(model(inputs), targets),
        "cross-entropy": lambda: F.cross_entropy(model(inputs), labels),
    }
    norms = hessian_norms(losses[case["loss"]], model, iterations=case["iterations"])
    weights = {name: norm for name, norm in norms.items() if name.endswith("weight")}
    return {"norm": max(weights.values()), "least": min(weights.values())}

"""What spectral initialisation and Frobenius decay are by definition, measured; and a trap in a released code."""

import torch
from torch import Tensor, nn

from rankfold.init import spectral
from rankfold.layers import format_sites, kernel_from_matrix, kernel_matrix
from rankfold.regularize import FrobeniusDecay, decay_groups
from rankfold.studies._records import Case, Record
from rankfold.studies._study import Setting

__all__ = ["CONVOLUTIONS", "measured_factors", "measured_kernel"]

CONVOLUTIONS = {
    "3 x 3": {"kernel_size": 3},
    "3 x 3, padding 1, stride 2": {"kernel_size": 3, "padding": 1, "stride": 2},
    "3 x 5, dilation 2": {"kernel_size": (3, 5), "dilation": 2, "padding": 1},
    "5 x 1": {"kernel_size": (5, 1)},
}
_RANK = 4


def measured_factors(case: Case, setting: Setting) -> Record:
    """A matrix, or a kernel, in a form: its error, balance, nuclear norm, and gradients of the decay."""
    torch.manual_seed(case["seed"])
    matrix = case["form"] == "tt"
    layer: nn.Module = nn.Linear(20, 24) if matrix else nn.Conv2d(6, 8, 3)
    model = nn.Sequential(layer).double()
    dense = _weight(layer).detach().clone()
    (row,) = spectral(model, case["form"], _RANK, generator=torch.Generator().manual_seed(case["seed"]))
    record: Record = {"error": row.error, **_gradients(model)}
    if case["form"] in ("tt", "separable"):
        target = dense if matrix else kernel_matrix(dense)
        values = torch.linalg.svdvals(target)
        (site,) = format_sites(model)
        left, right = (tensor.detach().squeeze() for tensor in site.tensors)
        record["tail"] = abs(row.error - float(values[_RANK:].norm() / values.norm()))
        record["balance"] = float((left.mT @ left - right @ right.mT).abs().max())
        mean_square = float(left.square().sum() + right.square().sum()) / 2
        record["nuclear"] = abs(mean_square / float(values[:_RANK].sum()) - 1)
    return record


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _gradients(model: nn.Sequential) -> Record:
    """The gradients in closed form beside those of the dense norm, and the weight decay that the factors keep."""
    (site,) = format_sites(model)
    dense = torch.autograd.grad(0.5 * _weight(model[0]).square().sum(), site.parameters)
    for parameter in site.parameters:
        parameter.grad = torch.zeros_like(parameter)
    FrobeniusDecay(model, 1.0).add_gradients()
    differences = [
        float((parameter.grad - expected).norm() / expected.norm())
        for parameter, expected in zip(site.parameters, dense, strict=True)
        if parameter.grad is not None
    ]
    factors = {id(parameter) for parameter in site.parameters}
    kept = [
        group["weight_decay"]
        for group in decay_groups(model, 1e-3)
        for parameter in group["params"]
        if id(parameter) in factors
    ]
    return {"gradients": max(differences), "weight decay of factors": max(kept)}


def measured_kernel(case: Case, setting: Setting) -> Record:
    """A convolution in separable form at full rank, and what a reshape without the permutation makes of it.

    The released code of the paper writes ``(O, I, H, W)`` as ``(O H, I W)`` by a mere reshape, but runs the product as
    if the inputs had been moved behind the rows of the window. For a random kernel that is another random kernel; of a
    trained one it leaves nothing.
    """
    torch.manual_seed(case["seed"])
    layer = nn.Conv2d(5, 7, **CONVOLUTIONS[case["convolution"]])
    images = torch.randn(2, 5, 12, 13)
    with torch.no_grad():
        expected = layer(images)
        kernel = _weight(layer).detach().clone()
        matrix = kernel.reshape(kernel_matrix(kernel).shape)
        layer.weight.copy_(kernel_from_matrix(matrix, kernel.shape))
        reshaped = layer(images)
        layer.weight.copy_(kernel)
        model = nn.Sequential(layer)
        spectral(model, "separable", 1.0)
        written = model(images)
    # A kernel that is separable with one channel between its two convolutions.
    thin = torch.einsum("oh,iw->oihw", torch.randn(7, kernel.shape[2]), torch.randn(5, kernel.shape[3]))
    return {
        "full rank": _relative(written, expected),
        "without the permutation": _relative(reshaped, expected),
        "separable at rank 1": _lost(kernel_matrix(thin)),
        "separable without the permutation": _lost(thin.reshape(kernel_matrix(thin).shape)),
    }


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _lost(matrix: Tensor) -> float:
    """Relative error of the best matrix of rank 1."""
    values = torch.linalg.svdvals(matrix.double())
    return float(values[1:].norm() / values.norm())

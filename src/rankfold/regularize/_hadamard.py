"""Entries of weights that become exactly zero under plain gradient descent: every weight a product of D tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from rankfold._checks import check_number, check_strength
from rankfold._errors import OptionError
from rankfold.convert._plain_layers import plain_layers
from rankfold.convert._select import Selector
from rankfold.layers import HadamardWeight, hadamard_weights, multiply_out

__all__ = ["Sparsity", "collapse_hadamard", "hadamard", "hadamard_penalty", "misalignment"]


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def hadamard(
    model: nn.Module,
    depth: int = 2,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
) -> tuple[str, ...]:
    """Write the weights of plain layers as elementwise products ``W_1 ∘ ... ∘ W_D``, in place.

    No output changes beyond rounding: every weight is split into factors of equal modulus. With
    :func:`hadamard_penalty`, or weight decay on the factors, what is minimised is the loss plus
    ``strength Σ |w|^(2/D)``: the lasso for D = 2, and beyond it a penalty that is not convex. Entries then fall to
    zero at a rate of ``2 strength lr`` a step whatever D is, so that exact zeros take ``ln(|w| / eps) / (2 strength)``
    of summed learning rates; before that cut by a threshold in :func:`collapse_hadamard`.

    Make the optimiser after this. D of 3 and more wants its learning rate lower, or gradients clipped: the gradient of
    a factor is that of the weight times all other factors.

    Arguments:
        model: any module. Its layers with a weight matrix, table or kernel of their own are meant, factorised ones and
            computed weights are not.
        depth: number D of factors, 2 or more; 2 to 4 are usual.
        include: regular expressions for whole module names, or module classes; None means every such layer.
        exclude: likewise, the layers to leave alone.

    Returns:
        The names of the layers.

    Raises:
        OptionError: another depth, nothing to convert, or a weight that several modules share.
        SelectorError: a selector that matches no layer.

    Reference:
        Kolb, Weber, Bischl, Rügamer 2025, "Deep weight factorization".

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> hadamard(model, depth=3, include="0")
        ('0',)
        >>> len(list(model[0].parametrizations.weight.parameters()))
        3
    """
    HadamardWeight(depth)
    chosen = plain_layers("hadamard", model, include, exclude)
    for layer in chosen.values():
        layer._parameters["weight"].grad = None  # pyright: ignore[reportOptionalMemberAccess]
        parametrize.register_parametrization(layer, "weight", HadamardWeight(depth).train(layer.training))
    return tuple(chosen)


def hadamard_penalty(model: nn.Module, strength: float) -> Tensor:
    """``(strength / D) Σ_d ||W_d||²`` over all weights that are elementwise products, to be added to a loss.

    Arguments:
        model: what :func:`hadamard` converted.
        strength: 0 or more.

    Returns:
        A differentiable scalar; at least ``strength Σ |w|^(2/D)``, and equal to it where all factors of an entry have
        the same modulus.

    Raises:
        OptionError: a strength out of range, or no such weight.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 1, bias=False)
        >>> model.weight.data = torch.tensor([[-3.0, 4.0]])
        >>> _ = hadamard(model)
        >>> hadamard_penalty(model, 0.1)
        tensor(0.7000, grad_fn=<SumBackward0>)
    """
    check_strength("hadamard_penalty", strength)
    parts = [_mean_square(factors) for _, _, factors in hadamard_weights(model)]
    if not parts:
        raise OptionError(
            "hadamard_penalty: no weight of the model is an elementwise product; call hadamard(model) first."
        )
    return torch.stack([strength * part.to(parts[0]) for part in parts]).sum()


def _mean_square(factors: Sequence[Tensor]) -> Tensor:
    return torch.stack([factor.square().sum() for factor in factors]).mean()


@torch.no_grad()
def misalignment(model: nn.Module) -> dict[str, float]:
    """How far the factors are from equal modulus: what the penalty is above its least for the same weights.

    Under gradient flow the difference of the squares of two factors of an entry decays like
    ``exp(-4 strength t / D)``; a misalignment that stays tells of too short a training, or too small a strength.

    Arguments:
        model: what :func:`hadamard` converted.

    Returns:
        By layer ``Σ_d ||W_d||² / D - Σ |w|^(2/D)``, 0 or more up to rounding, in float64.

    Reference:
        Kolb, Weber, Bischl, Rügamer 2025, section 3.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(1, 1))
        >>> _ = hadamard(model)
        >>> for factor, value in zip(model[0].parametrizations.weight.parameters(), (1.0, 3.0)):
        ...     _ = factor.data.fill_(value)
        >>> round(misalignment(model)["0"], 6)  # (1 + 9) / 2 - |1 * 3|
        2.0
    """
    found = {}
    for name, _, factors in hadamard_weights(model):
        exact = [factor.double() for factor in factors]
        least = torch.stack(exact).prod(0).abs() ** (2 / len(exact))
        found[name] = float(_mean_square(exact) - least.sum())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparsity:
    """One weight after its factors were multiplied out.

    Arguments:
        name: of the layer.
        entries: number of its entries.
        kept: number of those that are not zero.
        largest_cut: modulus of the largest entry that was set to zero, 0 if none was.
    """

    name: str
    entries: int
    kept: int
    largest_cut: float


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
@torch.no_grad()
def collapse_hadamard(
    model: nn.Module, threshold: float | None = None, *, optimizer: Optimizer | None = None
) -> tuple[Sparsity, ...]:
    """Multiply the factors out and set small entries to zero: plain layers again, in place.

    Arguments:
        model: what :func:`hadamard` converted; other weights stay as they are.
        threshold: entries of a modulus up to it become zero; None is the rounding of the weight's dtype, eps.
        optimizer: its state of the factors is dropped. It does not train the new weights; make a new one for that.

    Returns:
        One row per weight.

    Raises:
        OptionError: a threshold that is no number of 0 or more.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(3, 1))
        >>> model[0].weight.data = torch.tensor([[2.0, 1e-9, -1e-4]])
        >>> _ = hadamard(model)
        >>> [(row.kept, row.entries) for row in collapse_hadamard(model, threshold=1e-3)], type(model[0]).__name__
        ([(1, 3)], 'Linear')
    """
    if threshold is not None:
        check_number("collapse_hadamard", "threshold", threshold, 0, float("inf"))
    rows = []
    for name, layer, factors in list(hadamard_weights(model)):
        for factor in factors if optimizer is not None else ():
            assert optimizer is not None
            optimizer.state.pop(factor, None)
        multiply_out(layer, "weight")
        weight = layer.weight
        assert isinstance(weight, Tensor)
        limit = torch.finfo(weight.dtype).eps if threshold is None else threshold
        small = weight.abs() <= limit
        cut = weight.abs()[small]
        rows.append(
            Sparsity(
                name=name,
                entries=weight.numel(),
                kept=int((~small).sum()),
                largest_cut=float(cut.amax()) if cut.numel() else 0.0,
            )
        )
        weight.masked_fill_(small, 0.0)
    return tuple(rows)

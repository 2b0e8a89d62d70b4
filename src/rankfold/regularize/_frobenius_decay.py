"""Weight decay of the product that a factorised layer multiplies with, not of its factors."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from rankfold._checks import check_strength
from rankfold._errors import OptimizerError, OptionError
from rankfold.layers import format_sites, require_module
from rankfold.regularize._attention_products import attention_parameters, attentions, half_squared_products
from rankfold.regularize._squared_norm import half_squared_norm, half_squared_norm_gradients

__all__ = ["FrobeniusDecay", "decay_groups"]


class FrobeniusDecay:
    """The penalty ``(strength / 2) Σ ||W||²`` over weights that are stored in a format.

    Weight decay on the factors of ``W = U Vᵀ`` is another penalty: at its least over all such factors it is the
    nuclear norm of W. This one is what weight decay of the dense layer would be. It is computed from Gram matrices of
    the factors; no dense weight is formed.

    Use it as a loss term, :meth:`penalty`, or let :meth:`attach` add its gradients before every step of an
    optimiser, as weight decay does. Either way take ordinary weight decay off the factors: :func:`decay_groups`.

    With :class:`rankfold.TDLRT` bases stay orthonormal and ``||W|| = ||C||``: there the inner optimiser's weight decay
    does the same for Tucker layers. With ``core_steps=1`` use that, or a closure that adds the penalty.

    Arguments:
        model: a module with weights in a format, or with attention; those that are there now are meant, also when their
            ranks change.
        strength: of the penalty, 0 or more; the weight decay of the dense network is a good first choice.
        attention: decay the products ``Q_hᵀ K_h`` and ``O_h V_h`` of every attention head, dense or factorised, instead
            of the projections one by one.

    Raises:
        OptionError: a strength out of range, or nothing to decay.

    Reference:
        Khodak, Tenenholtz, Mackey, Fusi 2021, "Initialization and regularization of factorized neural layers".

    Example:
        >>> import torch, rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10))
        >>> _ = rf.factorize(model, 5)
        >>> decay = FrobeniusDecay(model, 1e-3)
        >>> expected = 5e-4 * sum(layer.weight.square().sum() for layer in (model[0], model[2]))
        >>> torch.allclose(decay.penalty(), expected)
        True
        >>> optimizer = torch.optim.SGD(decay_groups(model, 1e-3), lr=0.1)
        >>> handle = decay.attach(optimizer)
    """

    def __init__(self, model: nn.Module, strength: float, *, attention: bool = False) -> None:
        require_module(model, "FrobeniusDecay")
        check_strength("FrobeniusDecay", strength)
        self.strength = strength
        self._attentions = [module for _, module in attentions(model)] if attention else []
        inside = {id(parameter) for module in self._attentions for parameter in attention_parameters(module)}
        self._sites = [
            site
            for site in format_sites(model)
            if not any(id(parameter) in inside for parameter in site.parameters)
        ]
        if not (self._sites or self._attentions):
            raise OptionError(
                "FrobeniusDecay: no weight of the model is in a format, so there is no product to decay; call "
                "rankfold.factorize(model) first, or use weight decay."
            )

    def penalty(self) -> Tensor:
        """The penalty, to be added to a loss; a differentiable scalar."""
        parts = [half_squared_norm(site.value) for site in self._sites]
        parts += [half_squared_products(module) for module in self._attentions]
        return self.strength * torch.stack([part.to(parts[0]) for part in parts]).sum()

    def attach(self, optimizer: Optimizer) -> RemovableHandle:
        """Add the gradients of the penalty to those of the loss before every step of an optimiser.

        As with weight decay, a parameter without gradient is left alone.

        Arguments:
            optimizer: any, :class:`rankfold.TDLRT` too; its steps must not be given a closure.

        Returns:
            What ends it: call its ``remove()``.

        Raises:
            OptimizerError: it is no optimiser.
        """
        if not isinstance(optimizer, Optimizer):
            raise OptimizerError(
                f"FrobeniusDecay.attach: got a {type(optimizer).__name__}; pass the optimiser, or add "
                "penalty() to the loss."
            )
        return optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: Optimizer, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        # Some classes of torch hand themselves over first.
        given = [value for value in arguments if value is not optimizer]
        if any(value is not None for value in (*given, options.get("closure"))):
            raise OptimizerError(
                "FrobeniusDecay: the step was given a closure, which computes the gradients anew; add penalty() to the "
                "loss in the closure instead of attaching it to the optimiser."
            )
        self.add_gradients()

    def add_gradients(self) -> None:
        """Add the gradients of the penalty to every gradient that there is, in closed form for the formats."""
        for site in self._sites:
            with torch.enable_grad():
                value = site.value
            tensors, gradients = [], []
            for tensor, gradient in zip(value.tensors, half_squared_norm_gradients(value), strict=True):
                if not tensor.is_leaf:  # computed from other parameters
                    tensors.append(tensor)
                    gradients.append(self.strength * gradient)
                elif tensor.grad is not None:
                    tensor.grad.add_(gradient, alpha=self.strength)
            if tensors:
                torch.autograd.backward(tensors, gradients)
        for module in self._attentions:
            parameters = [p for p in attention_parameters(module) if p.grad is not None]
            if parameters:
                with torch.enable_grad():
                    half = half_squared_products(module)
                for parameter, gradient in zip(
                    parameters, torch.autograd.grad(half, parameters), strict=True
                ):
                    assert parameter.grad is not None
                    parameter.grad.add_(gradient, alpha=self.strength)


def decay_groups(model: nn.Module, weight_decay: float, *, attention: bool = False) -> list[dict[str, Any]]:
    """Parameter groups in which weight decay spares what :class:`FrobeniusDecay` decays.

    Arguments:
        model: any module.
        weight_decay: of all other trained parameters.
        attention: as for :class:`FrobeniusDecay`.

    Returns:
        Two groups for an optimiser, the second without weight decay; an empty one is left out.

    Raises:
        OptionError: a weight decay that is no finite number of 0 or more.

    Example:
        >>> from torch import nn
        >>> import rankfold as rf
        >>> model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 10))
        >>> _ = rf.factorize(model, 5, include="0")
        >>> [(len(group["params"]), group["weight_decay"]) for group in decay_groups(model, 1e-4)]
        [(3, 0.0001), (3, 0.0)]
    """
    require_module(model, "decay_groups")
    check_strength("decay_groups", weight_decay, "weight_decay")
    spared = {id(p) for site in format_sites(model) for p in site.parameters}
    if attention:
        spared |= {id(p) for _, module in attentions(model) for p in attention_parameters(module)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in spared], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) in spared], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]

"""The ways to a network of a given number of parameters that are compared at equal budgets.

Each is told the share of the parameters that it may keep, and has to keep to it at the end of one training. Those that
choose what they keep come down to it in the same rounds.
"""

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from rankfold import TDLRT, factorize
from rankfold._registry import Registry
from rankfold.init import initialize
from rankfold.layers import hadamard_weights
from rankfold.regularize import FrobeniusDecay, GatedRank, collapse_hadamard, decay_groups, hadamard
from rankfold.studies._compression_methods import (
    METHODS,
    Method,
    Start,
    Trained,
    parameters_left,
    rounds_to_share,
)
from rankfold.studies._compression_networks import compressed_layers

__all__ = ["BUDGET_METHODS", "largest_rank"]

# Ranks of methods that choose theirs start at half, as in the study of compression.
_START = 0.5

# Weight decay once the choice is made, for methods whose decay makes it: the least that the other methods are tried
# with, so that what was kept is not drawn towards zero any longer.
_AFTER = 5e-4


def _budget(start: Start, share: float) -> int:
    """Parameters that the compressed layers of a network that is still dense may keep."""
    return round(
        share * sum(layer.weight.numel() for layer in _layers(start) if isinstance(layer.weight, Tensor))
    )


def _layers(start: Start) -> list[nn.Module]:
    return compressed_layers(start.network, start.spec.compressed)


def _factorize(start: Start, rank: float, network: nn.Module | None = None) -> None:
    factorize(network or start.network, rank, include=list(start.spec.compressed), rescale=True)


def _tdlrt(start: Start, integrator: str, core_steps: int, freeze: float) -> Trained:
    budgets = {
        step: _budget(start, share) for step, share in rounds_to_share(start.point, start.steps).items()
    }
    _factorize(start, _START)
    optimizer = TDLRT(
        start.network,
        SGD,
        tolerance=0.0,
        integrator=integrator,
        core_steps=core_steps,
        parameter_budget=parameters_left(start.network, start.spec),
        freeze_bases_after=int(freeze * start.steps),
        **start.options,
    )

    def after_step(done: int) -> None:
        optimizer.parameter_budget = budgets.get(done, optimizer.parameter_budget)

    def finish(complete: bool) -> int:
        if complete:
            optimizer.truncate()
        return parameters_left(start.network, start.spec)

    return Trained(optimizer, after_step, finish)


def _gated(start: Start) -> Trained:
    budget, cut = _budget(start, start.point), max(rounds_to_share(start.point, start.steps))
    _factorize(start, _START)
    gated = GatedRank(start.network, 0.0)  # its penalty is the weight decay of the optimiser on the parts
    optimizer = SGD(start.network.parameters(), **start.options)

    def after_step(done: int) -> None:
        if done == cut:
            gated.collapse(0.0, parameters=budget, optimizer=optimizer)
            _decay_less(optimizer)

    return Trained(optimizer, after_step, lambda complete: parameters_left(start.network, start.spec))


def _decay_less(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["weight_decay"] = min(group["weight_decay"], _AFTER)


def _frobenius(start: Start) -> Trained:
    _factorize(start, largest_rank(start, _budget(start, start.point)))
    generator = torch.Generator().manual_seed(start.seed)
    initialize(start.network, "spectral", balance=True, rescale=True, generator=generator)
    decay = start.options["weight_decay"]
    optimizer = SGD(decay_groups(start.network, decay), **start.options)
    FrobeniusDecay(start.network, decay).attach(optimizer)
    return Trained(optimizer, lambda done: None, lambda complete: parameters_left(start.network, start.spec))


def largest_rank(start: Start, budget: int) -> int:
    """The largest rank that all layers can have together, as far as they have it."""
    shapes = [layer.weight.shape for layer in _layers(start) if isinstance(layer.weight, Tensor)]
    low, high = 1, max(map(max, shapes))
    while high - low > 1:
        middle = (low + high) // 2
        tried = deepcopy(start.network)
        _factorize(start, middle, tried)
        low, high = (middle, high) if parameters_left(tried, start.spec) <= budget else (low, middle)
    return low


def _hadamard(start: Start) -> Trained:
    types = list(start.spec.compressed)
    budgets = {
        step: _budget(start, share) for step, share in rounds_to_share(start.point, start.steps).items()
    }
    hadamard(start.network, depth=2, include=types)
    optimizer = SGD(start.network.parameters(), **start.options)

    def after_step(done: int) -> None:
        if done in budgets:
            _zero_all_but(start.network, optimizer, budgets[done])
        if done == max(budgets):
            _decay_less(optimizer)

    return Trained(
        optimizer, after_step, lambda complete: sum(row.kept for row in collapse_hadamard(start.network, 0.0))
    )


@torch.no_grad()
def _zero_all_but(network: nn.Module, optimizer: Optimizer, count: int) -> None:
    """Keep the largest entries; all factors of the others become zero, where their gradients are zero as well."""
    weights = [factors for _, _, factors in hadamard_weights(network)]
    moduli = [torch.stack(factors).prod(0).abs() for factors in weights]
    threshold = torch.cat([modulus.flatten() for modulus in moduli]).topk(count).values[-1]
    for factors, modulus in zip(weights, moduli, strict=True):
        small = modulus < threshold
        for factor in factors:
            factor.masked_fill_(small, 0.0)
            optimizer.state[factor]["momentum_buffer"].masked_fill_(small, 0.0)


# The default of the library, and the integrator of one gradient a step, which is for core_steps=1. When bases stay was
# chosen on held-out images of one other seed; so were ten core steps for the first, which one and three did not beat.
_AUGMENTED = {"integrator": "augmented", "core_steps": 10, "freeze": 0.7}
_PARALLEL = {"integrator": "parallel", "core_steps": 1, "freeze": 0.9}

BUDGET_METHODS: Registry[Method] = Registry(
    "method",
    Method("tdlrt", "TDLRT, augmented", partial(_tdlrt, **_AUGMENTED)),
    Method("parallel", "TDLRT, parallel", partial(_tdlrt, **_PARALLEL)),
    Method("gated", "GatedRank", _gated),
    Method("frobenius", "Frobenius decay, fixed rank", _frobenius),
    METHODS["tucker"],
    METHODS["magnitude"],
    Method("hadamard", "elementwise factors", _hadamard),
    METHODS["dense"],
)

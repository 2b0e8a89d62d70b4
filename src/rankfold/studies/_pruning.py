"""Pruning of single weights, over all layers together: the baselines of studies of compression."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

__all__ = ["connection_sensitivity", "make_permanent", "prune_to_share", "shares_of_rounds"]


def connection_sensitivity(
    network: nn.Module, layers: Sequence[nn.Module], inputs: Tensor, targets: Tensor
) -> dict[nn.Module, Tensor]:
    """SNIP: how much the loss changes, to first order, with a factor on each weight that goes from 1 towards 0.

    With ``L(c * w)`` the derivative with respect to ``c`` at 1 is ``g * w``, where ``g`` is the gradient of the loss
    with respect to ``w``; the score is its size. Gradients of the network are left as they were.

    Arguments:
        network: classifier, evaluated in the mode it is in.
        layers: those of its layers whose weights are scored.
        inputs, targets: one batch.

    Returns:
        A score of the shape of the weight for each layer, at least 0.

    Reference:
        Lee, Ajanthan, Torr 2019, "SNIP: single-shot network pruning based on connection sensitivity", equations 5
        and 6; the norm that equation 6 divides by does not change the order.
    """
    weights = [_weight(layer) for layer in layers]
    gradients = torch.autograd.grad(F.cross_entropy(network(inputs), targets), weights)
    pairs = zip(layers, gradients, weights, strict=True)
    return {layer: (gradient * weight).abs().detach() for layer, gradient, weight in pairs}


def prune_to_share(
    layers: Sequence[nn.Module], share: float, scores: Mapping[nn.Module, Tensor] | None = None
) -> None:
    """Set the weights of least score to zero for good, until this share of all is left; biases stay.

    What was pruned before stays pruned. Each weight becomes a parameter ``weight_orig``, the one that the optimiser
    already has, times a mask (``torch.nn.utils.prune``).

    Arguments:
        layers: ranked together.
        share: of the weights of these layers to keep, in (0, 1]; at least one weight is kept.
        scores: of each layer's weights; None takes their absolute values.

    Reference:
        Han, Pool, Tran, Dally 2015, "Learning both weights and connections for efficient neural networks", for
        absolute values; one threshold for all layers as in Frankle and Carbin 2019, "The lottery ticket hypothesis".
    """
    total = sum(_weight(layer).numel() for layer in layers)
    left = sum(_left(layer) for layer in layers)
    surplus = left - max(round(share * total), 1)
    if surplus > 0:
        named = None if scores is None else {(layer, "weight"): scores[layer] for layer in layers}
        prune.global_unstructured(
            [(layer, "weight") for layer in layers],
            pruning_method=prune.L1Unstructured,
            importance_scores=named,
            amount=surplus,
        )


def make_permanent(layers: Sequence[nn.Module]) -> int:
    """Write the zeros into the weights, as plain parameters again.

    Arguments:
        layers: pruned or not.

    Returns:
        The number of weights of these layers that are not zero.
    """
    for layer in layers:
        if hasattr(layer, "weight_mask"):
            prune.remove(layer, "weight")
    return sum(int(torch.count_nonzero(_weight(layer))) for layer in layers)


def shares_of_rounds(share: float, rounds: int) -> list[float]:
    """The shares kept after each round of pruning when every round keeps the same part of what is left.

    Arguments:
        share: kept in the end, in (0, 1].
        rounds: at least 1.

    Returns:
        One share per round; the last is ``share``.

    Reference:
        Frankle, Carbin 2019, "The lottery ticket hypothesis", iterative pruning.

    Example:
        >>> [round(kept, 3) for kept in shares_of_rounds(0.01, 2)]
        [0.1, 0.01]
    """
    return [share ** (done / rounds) for done in range(1, rounds + 1)]


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _left(layer: nn.Module) -> int:
    mask = getattr(layer, "weight_mask", None)
    return _weight(layer).numel() if mask is None else int(mask.sum())

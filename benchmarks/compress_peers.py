"""Other ways to compress a trained network without training it again, each at a share of the parameters.

The share is that of the weights of the layers that are compressed, biases and all other layers aside; a share above 1
gives every layer its full rank.
"""

import copy
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import ceil, floor

import torch
from tensorly.decomposition import partial_tucker
from torch import Tensor, nn

from benchmarks._compress_chains import (
    Calls,
    Dense,
    Layers,
    Replacements,
    dense_layers,
    matrix_chain,
    matrix_parameters,
    parameter_count,
    replace,
    tucker_chain,
)
from benchmarks._compress_moments import output_moments
from benchmarks._compress_tensorly_torch import from_dense
from rankfold._registry import Registry

__all__ = ["PEERS", "Compressed", "Peer", "compress"]


@dataclass(frozen=True)
class Peer:
    """A way to compress.

    Arguments:
        name: the name it is asked for by.
        summary: what it does, in one line.
        replacements: from a model, its layers, a share and calls, the new layers; layers it leaves out stay.
    """

    name: str
    summary: str
    replacements: Callable[[nn.Module, Layers, float, Calls], Replacements]


@dataclass(frozen=True)
class Compressed:
    """What a peer made.

    Arguments:
        model: the compressed copy.
        parameters: all its parameters.
        share: the parameters of the new layers by those of the old weights, biases aside.
    """

    model: nn.Module
    parameters: int
    share: float


def compress(
    peer: Peer, model: nn.Module, share: float, left_dense: tuple[str, ...] = (), calls: Calls = ()
) -> Compressed:
    """Compress a copy of a model.

    Arguments:
        peer: how.
        model: the dense model, in evaluation mode.
        share: of the parameters to keep, above 0.
        left_dense: names of layers to leave alone.
        calls: arguments of the model, for peers that look at data.

    Returns:
        The copy, and what it costs.
    """
    model = copy.deepcopy(model)
    layers = dense_layers(model, left_dense)
    dense = sum(layer.weight.numel() for layer in layers.values())
    before = parameter_count(model)
    with warnings.catch_warnings():
        # tensorly warns of every convolution that a rank was given as one number.
        warnings.simplefilter("ignore")
        for name, layer in peer.replacements(model, layers, share, calls).items():
            replace(model, name, layer)
    after = parameter_count(model)
    return Compressed(model.eval(), after, 1 + (after - before) / dense)


def _largest_rank(cost: Callable[[int], int], full: int, budget: float) -> int:
    """The largest rank of at least 1 within a budget."""
    return max((rank for rank in range(1, full + 1) if cost(rank) <= budget), default=1)


def _svd(model: nn.Module, layers: Layers, share: float, calls: Calls) -> Replacements:
    """Every weight as a matrix ``(O, I k)``, the same share of each."""
    return {name: _svd_chain(layer, share) for name, layer in layers.items()}


def _svd_chain(layer: Dense, share: float) -> nn.Module:
    weight = layer.weight.detach()
    u, s, vh = torch.linalg.svd(weight.flatten(1).double(), full_matrices=False)
    each = matrix_parameters(weight)
    rank = _largest_rank(lambda rank: rank * each, len(s), share * weight.numel())
    return matrix_chain(layer, u[:, :rank] * s[:rank], vh[:rank])


def _tucker2(model: nn.Module, layers: Layers, share: float, calls: Calls) -> Replacements:
    """Every convolution in its two channel modes, ranks in proportion to the channels; linear layers by SVD."""
    return {
        name: _svd_chain(layer, share) if isinstance(layer, nn.Linear) else _tucker2_chain(layer, share)
        for name, layer in layers.items()
    }


def _tucker2_chain(layer: nn.Conv1d | nn.Conv2d, share: float) -> nn.Module:
    weight = layer.weight.detach()
    outputs, inputs = weight.shape[:2]
    window = weight[0, 0].numel()

    def cost(ranks: tuple[int, int]) -> int:
        a, b = ranks
        return outputs * a + inputs * b + window * a * b

    budget = share * weight.numel()
    ranks = max(
        (pair for pair in _proportional(outputs, inputs) if cost(pair) <= budget), key=cost, default=(1, 1)
    )
    (core, (left, right)), _ = partial_tucker(weight.double(), list(ranks), modes=[0, 1])
    return tucker_chain(layer, core, left, right)


def _proportional(outputs: int, inputs: int) -> Iterable[tuple[int, int]]:
    """All pairs of ranks in the proportion of the channels, up to rounding either way."""
    for a in range(1, outputs + 1):
        near = a * inputs / outputs
        yield from ((a, b) for b in {floor(near), ceil(near)} if b > 0)


def _whitened(model: nn.Module, layers: Layers, share: float, calls: Calls) -> Replacements:
    """The directions of the outputs that carry most of a layer's energy on data, by one budget over all layers."""
    moments = output_moments(model, layers, calls)
    bases, steps, ranks, used = {}, [], {}, 0
    for name, layer in layers.items():
        energies, vectors = torch.linalg.eigh(moments[name])
        energies, bases[name] = energies.flip(0).clamp(min=0), vectors.flip(1)
        each = matrix_parameters(layer.weight)
        gains = (energies / energies.sum() / each).tolist()
        steps += [(gain, name) for gain in gains[1:]]
        ranks[name], used = 1, used + each
    budget = share * sum(layer.weight.numel() for layer in layers.values())
    for _, name in sorted(steps, reverse=True):
        weight = layers[name].weight
        each = matrix_parameters(weight)
        # Where factors would cost more than the dense weight, the weight stays as it is.
        more = min(each, weight.numel() - ranks[name] * each)
        if more > 0 and used + more <= budget:
            ranks[name], used = ranks[name] + 1, used + more
    return {
        name: _projected(layer, bases[name][:, : ranks[name]])
        for name, layer in layers.items()
        if ranks[name] * matrix_parameters(layer.weight) < layer.weight.numel()
    }


def _projected(layer: Dense, basis: Tensor) -> nn.Module:
    return matrix_chain(layer, basis, basis.mT @ layer.weight.detach().flatten(1).double())


def _tensorly_peer(factorization: str, modes: int) -> Peer:
    name = f"tensorly-torch {factorization}"
    return Peer(
        name if modes == 1 else f"{name} {modes} modes",
        f"{factorization} by from_conv and from_linear, linear layers as tensors of {modes} modes a side",
        partial(from_dense, factorization=factorization, modes=modes),
    )


PEERS: Registry[Peer] = Registry(
    "peer",
    Peer("svd", "every weight as a matrix of outputs by inputs and window, the same share of each", _svd),
    Peer("tucker", "every convolution in its channel modes, the same share of each", _tucker2),
    Peer("whitened", "by the energy of the outputs on data, one budget over all layers", _whitened),
    # Which split of linear layers is the most accurate differs between networks and shares.
    *(_tensorly_peer(factorization, modes) for factorization in ("tucker", "cp") for modes in (1, 2)),
)

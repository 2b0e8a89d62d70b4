"""``from_conv`` and ``from_linear`` of tensorly-torch at a share of the parameters."""

from collections.abc import Callable

import tltorch
from tltorch.utils import get_tensorized_shape
from torch import nn

from benchmarks._compress_chains import Calls, Layers, Replacements, parameter_count

__all__ = ["from_dense"]

# tensorly stops CP after 100 sweeps by default, before it has converged here, from a start that differs each time.
_SWEEPS = {"n_iter_max": 500, "random_state": 0}


def from_dense(
    model: nn.Module, layers: Layers, share: float, calls: Calls, *, factorization: str, modes: int
) -> Replacements:
    """Factorised layers in the place of dense ones, each with the largest rank argument that the share allows.

    Arguments:
        model: not used.
        layers: the dense layers.
        share: of the parameters of each layer.
        calls: not used.
        factorization: ``"tucker"`` or ``"cp"``.
        modes: how many modes a side the weight of a linear layer is cut into.

    Returns:
        The new layers by name.
    """
    return {
        name: _from_linear(layer, share, factorization, modes)
        if isinstance(layer, nn.Linear)
        else _from_conv(layer, share, factorization)
        for name, layer in layers.items()
    }


def _from_conv(layer: nn.Conv1d | nn.Conv2d, share: float, factorization: str) -> nn.Module:
    # With the windows factorised as well Tucker fits worse at equal parameters.
    options = {"factorization": factorization, "implementation": "factorized"}
    if factorization == "tucker":
        options["fixed_rank_modes"] = "spatial"
    sizes = layer.in_channels, layer.out_channels, layer.kernel_size

    def trial(rank: float) -> nn.Module:
        return tltorch.FactorizedConv(*sizes, rank=rank, **options)

    rank = _largest_argument(trial, share * layer.weight.numel())
    return tltorch.FactorizedConv.from_conv(layer, rank=rank, decomposition_kwargs=_SWEEPS, **options)


def _from_linear(layer: nn.Linear, share: float, factorization: str, modes: int) -> nn.Module:
    options = {"factorization": factorization, "implementation": "factorized"}
    split = get_tensorized_shape(layer.in_features, layer.out_features, order=modes, verbose=False)

    def trial(rank: float) -> nn.Module:
        return tltorch.FactorizedLinear(*split, bias=False, rank=rank, **options)

    rank = _largest_argument(trial, share * layer.weight.numel())
    return tltorch.FactorizedLinear.from_linear(
        layer,
        rank=rank,
        n_tensorized_modes=modes,
        bias=layer.bias is not None,
        decomposition_kwargs=_SWEEPS,
        **options,
    )


def _largest_argument(trial: Callable[[float], nn.Module], budget: float) -> float:
    """The largest share to ask tensorly-torch for that stays within a budget: one gets more or less than one asks for.

    Tucker ranks above the sizes, which it gives for large shares, do not count as within.
    """

    def fits(asked: float) -> bool:
        layer = trial(asked)
        tucker = hasattr(layer.weight, "core")
        wide = tucker and any(factor.shape[1] > factor.shape[0] for factor in layer.weight.factors)
        return not wide and parameter_count(layer) <= budget

    low, high = 1e-3, 16.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low

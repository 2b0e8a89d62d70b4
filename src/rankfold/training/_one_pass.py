"""The exact step from one backward pass: what the layers collected, and factors whose new columns lie apart."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankfold._collectives import Workers
from rankfold._errors import OptimizerError
from rankfold.formats import Tucker
from rankfold.layers import FactorizedLayer, OnePass
from rankfold.linalg import HOSVD, product

__all__ = ["arm", "collected_gradients", "one_passes", "projected", "with_columns"]

# Gradients that went through clipping or a scaler are multiples of what the backward collected, to a few hundred
# rounding errors: those of sums over a batch taken in another order.
_AGREEMENT_IN_EPS = 1000


def one_passes(
    model: nn.Module, layers: Mapping[str, FactorizedLayer], accumulate: bool
) -> dict[str, OnePass]:
    """One collector per layer, for all modules that use its weight."""
    users: dict[int, list[FactorizedLayer]] = {}
    for module in model.modules():
        if isinstance(module, FactorizedLayer):
            users.setdefault(id(module.core), []).append(module)
    return {name: OnePass(users[id(layer.core)], accumulate) for name, layer in layers.items()}


def arm(passes: Mapping[str, OnePass], wanted: bool) -> None:
    """Let the backward of the layers collect, or not."""
    for one_pass in passes.values():
        one_pass.clear()
        for layer in one_pass.users:
            layer.one_pass = one_pass if wanted else None


def collected_gradients(
    passes: Mapping[str, OnePass], workers: Workers
) -> list[tuple[dict[int, Tensor], Tensor]]:
    """For each layer the new columns of its bases, and its core gradient in the widened ones, over all workers.

    The gradients that the user left on the cores go before: what clipping or a gradient scaler did to them, the new
    blocks of the widened gradient undergo as well.

    Raises:
        OptimizerError: a core's gradient is not a multiple of what one backward pass gave.
    """
    results, disagreements = [], []
    finished = [one_pass.finish() for one_pass in passes.values()]
    workers.mean_(gradient for _, gradient in finished)
    for one_pass, (fresh, gradient) in zip(passes.values(), finished, strict=True):
        layer = one_pass.layer
        left = layer.core.grad
        assert left is not None
        wide, off = _as_the_user_left_it(gradient, left)
        several = torch.full_like(off, float("inf"))
        disagreements.append(several if one_pass.several else off / torch.finfo(layer.core.dtype).eps)
        results.append((fresh, wide))
    for name, off in zip(passes, torch.stack([d.double() for d in disagreements]).tolist(), strict=True):
        if not off <= _AGREEMENT_IN_EPS:
            raise OptimizerError(
                f"TDLRT: the gradient of layer {name!r} is not that of one backward pass since the last step; for "
                "gradient accumulation or a layer used several times in a forward set TDLRT's accumulate=True and call "
                "the optimiser's own zero_grad(); for gradients changed otherwise use core_steps=2 or a closure."
            )
    return results


def _as_the_user_left_it(gradient: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """The widened gradient scaled as its old block was, and how far that block was from a mere multiple."""
    where = tuple(slice(size) for size in left.shape)
    old = gradient[where]
    # Entries near 1 keep the squares in range.
    sizes = [torch.where((m := t.abs().amax()) > 0, m, 1.0) for t in (old, left)]
    old, now = old / sizes[0], left / sizes[1]
    square = old.square().sum()
    multiple = (old * now).sum() / torch.where(square > 0, square, 1.0)
    off = torch.linalg.vector_norm(now - multiple * old) / torch.linalg.vector_norm(now).clamp_min(0.5)
    scale = torch.where(square > 0, multiple * (sizes[1] / sizes[0]), 1.0)
    wide = gradient * scale
    wide[where] = left
    return wide, off


def with_columns(layer: FactorizedLayer, fresh: Mapping[int, Tensor]) -> Tucker:
    """The layer's widened core with its factors and their new columns."""
    wide = {mode: torch.cat([layer.factors[mode].data, new], 1) for mode, new in fresh.items()}
    return Tucker(layer.core.data, _factors(layer, wide))


def projected(layer: FactorizedLayer, fresh: Mapping[int, Tensor], result: HOSVD) -> Tucker:
    """The layer's weight in the bases U_i P_i, where the new columns of U_i may lie apart."""
    factors = {}
    for mode, basis in result.bases.items():
        old = layer.factors[mode].data
        factors[mode] = product(old, basis[: old.shape[1]])
        if mode in fresh:
            factors[mode] += product(fresh[mode], basis[old.shape[1] :])
    return Tucker(result.core, _factors(layer, factors))


def _factors(layer: FactorizedLayer, factors: Mapping[int, Tensor]) -> tuple[Tensor | None, ...]:
    return tuple(factors.get(mode) for mode in range(layer.core.ndim))

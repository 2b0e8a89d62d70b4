"""The published TDLRT step, written down pass by pass: what the one-pass step is compared with.

Zangrando et al. 2024, "Geometry-aware training of factorized layers in tensor Tucker format", algorithm 1: for every
mode one pass with K_i = U_i S_i in place of U_i, then one pass for the core in the widened bases, then truncation.
A convolution has the modes output O, input I and the window's two; with ``modes=(0, 1)`` the window is left whole and
three passes remain. Plain QR and SVD throughout; a gradient that a pass does not use is not computed. The authors' own
code is not used.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.layers import Conv2d
from rankfold.linalg import fold_mode, mode_product, unfold

__all__ = ["PublishedConv", "PublishedTDLRT", "published_model"]


class PublishedConv(nn.Module):
    """A chain of plain convolutions; core and factors are tensors that the step puts in place."""

    def __init__(self, layer: Conv2d, modes: Sequence[int]) -> None:
        super().__init__()
        self.modes, self.padding, self.bias = tuple(modes), layer.padding, layer.bias
        tucker = layer.tucker
        self.core = tucker.core.detach().clone()
        self.factors = {
            mode: torch.eye(self.core.shape[mode], dtype=self.core.dtype, device=self.core.device)
            if (factor := tucker.factors[mode]) is None
            else factor.detach().clone()
            for mode in self.modes
        }

    def forward(self, input: Tensor) -> Tensor:
        """Input factor, core with the window's factors merged, output factor."""
        kernel, factors = self.core, self.factors
        if 2 in factors:
            kernel = torch.einsum("oikl,ak,bl->oiab", kernel, factors[2], factors[3])
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        hidden = F.conv2d(input, factors[1].mT[:, :, None, None])
        hidden = F.conv2d(hidden, kernel, padding=self.padding)
        return F.conv2d(hidden, factors[0][:, :, None, None], self.bias)

    def weight(self) -> Tensor:
        """The dense kernel."""
        result = self.core
        for mode, factor in self.factors.items():
            result = mode_product(result, factor, mode)
        return result


def published_model(model: nn.Sequential, modes: Sequence[int] = (0, 1, 2, 3)) -> nn.Sequential:
    """A copy of a factorised chain of layers, its factorised convolutions replaced; dense layers are shared."""
    return nn.Sequential(
        *(PublishedConv(layer, modes) if isinstance(layer, Conv2d) else layer for layer in model)
    )


class PublishedTDLRT:
    """Steps a model with :class:`PublishedConv` layers.

    Arguments:
        model: as :func:`published_model` gives it.
        lr: step length of the K-steps and of the core step, both plain gradient descent.
        dense_optimizer: trains the dense parameters, on the gradients of the core pass.
        tolerance: relative error of the truncation over all modes.
        keep_ranks: cut back to the ranks before the step, whatever the tolerance says.
    """

    def __init__(
        self,
        model: nn.Sequential,
        lr: float,
        dense_optimizer: torch.optim.Optimizer,
        *,
        tolerance: float = 0.1,
        keep_ranks: bool = False,
    ) -> None:
        self.model, self.lr, self.dense_optimizer = model, lr, dense_optimizer
        self.tolerance, self.keep_ranks = tolerance, keep_ranks
        self.layers = [layer for layer in model if isinstance(layer, PublishedConv)]

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step. The closure clears the gradients, evaluates the loss, calls ``backward``, returns the loss."""
        cores = [layer.core for layer in self.layers]
        factors = [dict(layer.factors) for layer in self.layers]
        dense = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        for parameter in dense:
            parameter.requires_grad_(False)
        moved = [self._k_step(mode, cores, factors, closure) for mode in self.layers[0].modes]
        for parameter in dense:
            parameter.requires_grad_()
        for index, layer in enumerate(self.layers):
            core = cores[index]
            for mode, steps in zip(layer.modes, moved, strict=True):
                old = factors[index][mode]
                wide = torch.linalg.qr(torch.cat([steps[index], old], dim=1)).Q
                core = mode_product(core, wide.mT @ old, mode)
                layer.factors[mode] = wide
            layer.core = core.contiguous().requires_grad_()
        loss = closure()
        self.dense_optimizer.step()
        for layer, core in zip(self.layers, cores, strict=True):
            assert layer.core.grad is not None
            layer.core = layer.core.detach() - self.lr * layer.core.grad
            self._truncate(layer, tuple(core.shape))
        return loss

    def _k_step(
        self, mode: int, cores: list[Tensor], factors: list[dict[int, Tensor]], closure: Callable[[], Tensor]
    ) -> list[Tensor]:
        """One pass with K in one mode of every layer; gives the K after their steps."""
        for layer, core, bases in zip(self.layers, cores, factors, strict=True):
            orthonormal, triangle = torch.linalg.qr(unfold(core, mode).mT)
            # With fewer rows than columns Q is square and its rows span less than the rank of the mode.
            shape = (*core.shape[:mode], orthonormal.shape[1], *core.shape[mode + 1 :])
            layer.core = fold_mode(orthonormal.mT, mode, shape)
            layer.factors = {**bases, mode: (bases[mode] @ triangle.mT).requires_grad_()}
        closure()
        result = []
        for layer in self.layers:
            moving = layer.factors[mode]
            assert moving.grad is not None
            result.append(moving.detach() - self.lr * moving.grad)
        for layer, bases in zip(self.layers, factors, strict=True):
            layer.factors = dict(bases)
        return result

    def _truncate(self, layer: PublishedConv, ranks: tuple[int, ...]) -> None:
        """Truncated HOSVD of the core by the singular vectors of its unfoldings."""
        limit = (self.tolerance * layer.core.norm()) ** 2 / len(layer.modes)
        core = layer.core
        for mode in layer.modes:
            left, values, _ = torch.linalg.svd(unfold(layer.core, mode), full_matrices=False)
            tails = values.square().flip(0).cumsum(0).flip(0)
            kept = ranks[mode] if self.keep_ranks else max(int((tails > limit).sum()), 1)
            core = mode_product(core, left[:, :kept].mT, mode)
            layer.factors[mode] = layer.factors[mode] @ left[:, :kept]
        layer.core = core.contiguous()

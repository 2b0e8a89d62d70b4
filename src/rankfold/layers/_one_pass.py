"""What one backward pass tells about the step that follows: widened bases and the core gradient in them.

Widening a basis leaves the function as it is. The gradient of the widened core, for which the published step runs the
network a second time, is therefore a contraction of the very inputs and output gradients of the first pass. A layer's
backward takes it while they are at hand.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rankfold.linalg import mode_products, new_directions

if TYPE_CHECKING:
    from rankfold.layers._base import FactorizedLayer
    from rankfold.layers._chain import Chain

__all__ = ["OnePass", "Pair"]

#: Something of the incoming and of the outgoing side, None where a side has no factor.
Pair = tuple[Tensor | None, Tensor | None]


class OnePass:
    """Collects, for one layer, its widened bases and the core gradient in them.

    The directions that widen a basis are dL/dU_i. They span what the K-gradients span, because U_i takes part in the
    weight through an invertible matrix, and with the core in HOSVD form that matrix is diagonal, so that no digit is
    lost when each direction is scaled to unit length.

    Arguments:
        users: the layer whose factors are widened, and the layers tied to it.
        accumulate: keep inputs and output gradients until :meth:`finish` instead of contracting them in the
            backward. For steps made of several backward passes or uses of the layer, as by tied layers; takes the
            memory of both.
    """

    def __init__(self, users: "Sequence[FactorizedLayer]", accumulate: bool = False) -> None:
        self.users, self.layer = users, users[0]
        self.accumulate = accumulate or len(users) > 1
        self.clear()

    def clear(self) -> None:
        """Forget what was collected."""
        self._fresh: dict[int, Tensor] = {}
        self._gradient: Tensor | None = None
        self._captures: list[tuple[Any, ...]] = []
        self._task: int | None = None
        self._factors_seen: tuple[tuple[int, int], ...] = ()
        #: Whether more than one pass or use of the layer went into the gradients, without ``accumulate``.
        self.several = False

    def __getstate__(self) -> dict[str, Any]:
        # Inputs and output gradients belong to a graph that a copy does not have.
        fresh = OnePass(self.users, self.accumulate)
        return fresh.__dict__

    @property
    def collected(self) -> bool:
        """Whether a backward pass went through the layer, at the factors that it has now."""
        anything = self._gradient is not None or bool(self._captures)
        return anything and self._factors_seen == self._factors_now()

    def _factors_now(self) -> tuple[tuple[int, int], ...]:
        return tuple((factor.data_ptr(), factor._version) for factor in self.layer.factors.values())

    def _begin(self) -> None:
        """Tell apart a further pass of the same step from the first one after gradients were cleared."""
        task = torch._C._current_graph_task_id()
        further = self._task is not None and (task == self._task or self.layer.core.grad is not None)
        if not further:
            self.clear()
        self.several = further and not self.accumulate
        self._task, self._factors_seen = task, self._factors_now()

    def collect(
        self,
        chain: "Chain",
        input: Tensor,
        gradient: Tensor,
        core: Tensor,
        factors: Pair,
        gradients: Pair,
        known: Pair = (None, None),
    ) -> Tensor | None:
        """Called by the backward.

        Arguments:
            chain: of the layer.
            input, gradient: of the layer and of its output.
            core: the core between the two sides.
            factors, gradients: the two sides' factors and their gradients.
            known: hidden input and gradient of the hidden output, where they are at hand.

        Returns:
            The gradient of the core in the old bases, a block of the widened one; None if that is left to the caller.
        """
        self._begin()
        if self.accumulate:
            self._captures.append((chain, input, gradient, core, factors))
            return None
        new = self._new_sides(chain, gradients, gradient.dtype)
        return self._keep(chain.core_gradient(input, gradient, core, factors, new, known), core)

    def project(self, chain: "Chain", dense: Tensor, core: Tensor, factors: Pair, gradients: Pair) -> Tensor:
        """As :meth:`collect`, from the gradient of the dense weight."""
        self._begin()
        matrices = {}
        for mode, factor, new in zip(
            chain.modes, factors, self._new_sides(chain, gradients, dense.dtype), strict=True
        ):
            if factor is not None:
                matrices[mode] = (factor if new is None else torch.cat([factor, new], 1)).mT
        return self._keep(mode_products(dense, matrices), core)

    def finish(self) -> tuple[dict[int, Tensor], Tensor]:
        """After all backward passes: the new columns of every factor, and dL/dC in the widened bases.

        Zero where none went through the layer, as on one of several workers.
        """
        layer, gradient, fresh = self.layer, self._gradient, dict(self._fresh)
        for mode, factor in layer.factors.items():
            if mode not in fresh:
                fresh[mode] = self._new_columns(mode, factor.grad)
        for chain, input, output_gradient, core, factors in self._captures:
            dtype = output_gradient.dtype
            inner, outer = (fresh[mode].to(dtype) if mode in layer.factors else None for mode in chain.modes)
            part = chain.core_gradient(input, output_gradient, core, factors, (inner, outer))
            part = part.to(layer.core.dtype)
            gradient = part if gradient is None else gradient + part
        if gradient is None:
            sides = [fresh[mode].shape[1] if mode in layer.channel_modes else 0 for mode in layer.modes]
            wide = dict(zip(layer.modes, sides, strict=True))
            sizes = [size + wide.get(mode, 0) for mode, size in enumerate(layer.core.shape)]
            gradient = layer.core.new_zeros(sizes)
        rest = {
            mode: torch.cat([factor.detach(), fresh[mode]], 1).mT
            for mode, factor in layer.factors.items()
            if mode not in layer.channel_modes
        }
        return fresh, mode_products(gradient, rest)

    def _new_sides(self, chain: "Chain", gradients: Pair, dtype: torch.dtype) -> Pair:
        for mode, gradient in zip(chain.modes, gradients, strict=True):
            if gradient is not None:
                self._fresh[mode] = self._new_columns(mode, gradient)
        inner, outer = (
            None if gradient is None else self._fresh[mode].to(dtype)
            for mode, gradient in zip(chain.modes, gradients, strict=True)
        )
        return inner, outer

    def _new_columns(self, mode: int, gradient: Tensor | None) -> Tensor:
        factor = self.layer.factors[mode].detach()
        if factor.shape[0] == factor.shape[1] or gradient is None or not bool(gradient.isfinite().all()):
            return factor[:, :0]  # what is not finite is the optimiser's to report, or a scaler's to skip
        return new_directions([factor], [gradient.to(factor.dtype)])[0]

    def _keep(self, gradient: Tensor, core: Tensor) -> Tensor:
        self._gradient = gradient.to(self.layer.core.dtype)
        # A copy: autograd keeps a contiguous view as it is, and who scales the gradient of the core would scale this
        # block of the widened one and no other.
        return gradient[tuple(slice(size) for size in core.shape)].clone()

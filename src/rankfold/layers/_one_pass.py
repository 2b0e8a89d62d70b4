"""What one backward pass tells about the step that follows: widened bases and the core gradient in them.

Widening a basis leaves the function as it is. The gradient of the widened core, for which the published step runs the
network a second time, is therefore a contraction of the very inputs and output gradients of the first pass. A layer's
backward takes it while they are at hand.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rankfold.linalg import augment, mode_products

if TYPE_CHECKING:
    from rankfold.layers._base import FactorizedLayer
    from rankfold.layers._chain import Chain

__all__ = ["OnePass"]

Sides = tuple[Tensor | None, Tensor | None]


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
        self._factors: dict[int, Tensor] = {}
        self._gradient: Tensor | None = None
        self._captures: list[tuple[Any, ...]] = []

    @property
    def collected(self) -> bool:
        """Whether a backward pass went through the layer."""
        return self._gradient is not None or bool(self._captures)

    def collect(
        self,
        chain: "Chain",
        input: Tensor,
        gradient: Tensor,
        core: Tensor,
        gradients: Sides,
        known: Sides = (None, None),
    ) -> Tensor | None:
        """Called by the backward.

        Arguments:
            chain: of the layer.
            input, gradient: of the layer and of its output.
            core: the core between the two sides.
            gradients: of the two sides' factors.
            known: hidden input and gradient of the hidden output, where they are at hand.

        Returns:
            The gradient of the core in the old bases, a block of the widened one; None if that is left to the caller.
        """
        if self.accumulate:
            self._captures.append((chain, input, gradient, core))
            return None
        factors = self._widened_sides(chain, gradients)
        inner, outer = (None if factor is None else factor.to(gradient.dtype) for factor in factors)
        return self._keep(
            chain, chain.core_gradient(input, gradient, core, (inner, outer), known), core, factors
        )

    def project(self, chain: "Chain", dense: Tensor, core: Tensor, gradients: Sides) -> Tensor:
        """As :meth:`collect`, from the gradient of the dense weight."""
        factors = self._widened_sides(chain, gradients)
        matrices = {
            mode: factor.mT.to(dense.dtype)
            for mode, factor in zip(chain.modes, factors, strict=True)
            if factor is not None
        }
        return self._keep(chain, mode_products(dense, matrices), core, factors)

    def finish(self) -> tuple[dict[int, Tensor], Tensor]:
        """After all backward passes: the widened factors of all modes, and dL/dC in them, before any rescaling."""
        layer, gradient, factors = self.layer, self._gradient, dict(self._factors)
        for chain, input, output_gradient, core in self._captures:
            for mode in chain.modes:
                if mode in layer.factors and mode not in factors:
                    factors[mode] = self._widened(mode, layer.factors[mode].grad)
            inner, outer = (
                factors[mode].to(output_gradient.dtype) if mode in factors else None for mode in chain.modes
            )
            part = chain.core_gradient(input, output_gradient, core, (inner, outer)).to(layer.core.dtype)
            gradient = part if gradient is None else gradient + part
        assert gradient is not None
        rest = {mode: self._widened(mode, f.grad) for mode, f in layer.factors.items() if mode not in factors}
        gradient = mode_products(gradient, {mode: factor.mT for mode, factor in rest.items()})
        return {**factors, **rest}, gradient

    def _widened_sides(self, chain: "Chain", gradients: Sides) -> Sides:
        inner, outer = (
            None if gradient is None else self._widened(mode, gradient)
            for mode, gradient in zip(chain.modes, gradients, strict=True)
        )
        return inner, outer

    def _widened(self, mode: int, gradient: Tensor | None) -> Tensor:
        factor = self.layer.factors[mode].detach()
        if factor.shape[0] == factor.shape[1] or gradient is None:
            return factor
        return augment([factor], [gradient.to(factor.dtype)])[0]

    def _keep(self, chain: "Chain", gradient: Tensor, core: Tensor, factors: Sides) -> Tensor:
        self._gradient = gradient.to(self.layer.core.dtype)
        self._factors = {
            mode: factor for mode, factor in zip(chain.modes, factors, strict=True) if factor is not None
        }
        return gradient[tuple(slice(size) for size in core.shape)]

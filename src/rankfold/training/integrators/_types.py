"""The protocol of integrators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from rankfold.formats import Tucker

__all__ = ["BasisStep", "Gradients", "Integrator"]


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Gradients of the loss in the coordinates of one Tucker tensor.

    Arguments:
        core: dL/dC, shaped like the core.
        factors: dL/dU_i for every factorised mode, shaped like the factor.
    """

    core: Tensor
    factors: dict[int, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class BasisStep:
    """Where a basis step leads.

    Arguments:
        tucker: the tensor in the new bases.
        rotations: for each mode whose coordinates turned, M with ``new core = old core x_i M``; a mode that was
            only widened is not listed, its old coordinates come first and unchanged.
        core_gradient: dL/dC in the new bases where the step knows it without another pass, else None.
    """

    tucker: Tucker
    rotations: dict[int, Tensor]
    core_gradient: Tensor | None = None

    def moved(self) -> Tucker:
        """The tensor after a step of length 1 along the core gradient, where there is one."""
        if self.core_gradient is None:
            return self.tucker
        return Tucker(self.tucker.core - self.core_gradient, self.tucker.factors)


@dataclass(frozen=True, slots=True)
class Integrator:
    """One way to move on the manifold.

    Arguments:
        name: key in the registry.
        advance: maps tensors, their gradients and learning rates to basis steps, many layers at once.
        single_gradient: whether ``advance`` gives the core gradient, so that no further pass is needed. Then what
            :class:`rankfold.TDLRT` hands over for gradients are the moves of the inner optimiser, with the sign turned,
            for learning rates of 1.
        adaptive: whether bases are widened and must be truncated afterwards.
        summary: one line for tables.
        source: paper.
    """

    name: str
    advance: Callable[[Sequence[Tucker], Sequence[Gradients], Sequence[float]], list[BasisStep]]
    single_gradient: bool
    adaptive: bool
    summary: str
    source: str

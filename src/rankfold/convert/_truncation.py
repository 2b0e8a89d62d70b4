"""How the weight of a layer becomes a Tucker tensor, and what every choice of ranks keeps of it."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rankfold.convert._candidates import Candidate
from rankfold.formats import Tucker, full_ranks
from rankfold.linalg import unfold
from rankfold.ranks import Choice

__all__ = ["PlainTruncation", "Truncation", "core_energies"]


class Truncation(Protocol):
    """Approximates the weight that some layers share.

    Attributes:
        calibrated: whether its energies estimate a loss, on one scale for all weights.
    """

    calibrated: bool

    def reason(self, group: Sequence[Candidate]) -> str | None:
        """Why the weight cannot be approximated, or None."""
        ...

    def energies(self, group: Sequence[Candidate], modes: tuple[int, ...]) -> Tensor:
        """Squares of the core of the full (weighted) HOSVD, summed over the modes without factor; float64."""
        ...

    def tucker(self, group: Sequence[Candidate], choice: Choice) -> Tucker:
        """The weight at the chosen ranks, with orthonormal factors."""
        ...


class PlainTruncation:
    """Truncated HOSVD: the error is that of the weight itself, whatever the layer is given."""

    calibrated = False

    def reason(self, group: Sequence[Candidate]) -> str | None:
        """None: a weight is all it needs."""
        return None

    def energies(self, group: Sequence[Candidate], modes: tuple[int, ...]) -> Tensor:
        """As of :class:`Truncation`."""
        return core_energies(_dense(group), modes)

    def tucker(self, group: Sequence[Candidate], choice: Choice) -> Tucker:
        """As of :class:`Truncation`."""
        return Tucker.from_dense(_dense(group), ranks=list(choice.ranks), modes=choice.modes)


def core_energies(weight: Tensor, modes: tuple[int, ...]) -> Tensor:
    """Squared entries of the core of the full HOSVD along some modes, summed over the other modes, in float64.

    Arguments:
        weight: any order.
        modes: the factorised modes, increasing.

    Returns:
        One axis per mode, as long as its full rank.

    Example:
        >>> core_energies(torch.diag(torch.tensor([3.0, 2.0])), (0, 1)).round(decimals=6).tolist()
        [[9.0, 0.0], [0.0, 4.0]]
    """
    weight = weight.detach().double()
    if weight.ndim == 2 and len(modes) == 2:
        return torch.diag(torch.linalg.svdvals(weight).square())
    if len(modes) == 1:
        matrix = unfold(weight, modes[0])
        if matrix.shape[1] > matrix.shape[0]:
            # Singular values of a wide matrix are those of its triangular factor, which gives them sooner.
            matrix = torch.linalg.qr(matrix.mT, mode="r").R
        return torch.linalg.svdvals(matrix).square()
    core = Tucker.from_dense(weight, ranks=list(full_ranks(weight.shape, modes)), modes=modes).rotate().core
    rest = [mode for mode in range(weight.ndim) if mode not in modes]
    return core.square().sum(rest) if rest else core.square()


def _dense(group: Sequence[Candidate]) -> Tensor:
    weight = group[0].weight
    assert weight is not None
    return weight.detach()

"""The tangent space of tensors of fixed Tucker ranks, in orthonormal coordinates, and the way back.

Axes: n_i dimensions, r_i ranks. A tangent vector at ``C x_i U_i`` is ``D x_i U_i + sum_i Q_i x_i W_i x_{j != i} U_j``
with ``U_iᵀ W_i = 0``; the slices of ``Q_i`` along mode i are an orthonormal basis of those of the core, so that the
norm of the tangent vector is that of its coordinates (D, W_1, ..., W_d).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.decompose._tucker_bases import leading_basis, st_hosvd
from rankfold.linalg import fold_mode, mode_correlate, mode_project, orthonormalize, unfold

__all__ = ["Coordinates", "Tangent"]

Coordinates = list[Tensor]  # D, then one W_i (n_i, r_i) per mode


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """The tangent space at ``core x_i bases_i``.

    Reference:
        Koch and Lubich 2010, "Dynamical tensor approximation", section 2; Kressner, Steinlechner and Vandereycken
        2014, "Low-rank tensor completion by Riemannian optimization", section 3.
    """

    core: Tensor
    bases: Sequence[Tensor]
    slices: Sequence[Tensor]  # Q_i, of the shape of the core
    last: int  # the mode that is multiplied out last
    fibres: Tensor  # Q_last x_{j != last} U_j

    @classmethod
    def at(cls, core: Tensor, bases: Sequence[Tensor]) -> "Tangent":
        """The tangent space at a point with orthonormal bases, no rank above the product of the others."""
        slices = [
            fold_mode(orthonormalize(unfold(core, mode).mT).mT, mode, tuple(core.shape))
            for mode in range(core.ndim)
        ]
        last = min(range(core.ndim), key=lambda mode: bases[mode].shape[1] / bases[mode].shape[0])
        return cls(core, bases, slices, last, _expanded(slices[last], bases, skip=last))

    def point(self) -> Tensor:
        """The tensor at which this is the tangent space."""
        return mode_project(
            _expanded(self.core, self.bases, skip=self.last), self.bases[self.last], self.last
        )

    def dense(self, vector: Coordinates) -> Tensor:
        """The tangent vector with these coordinates as a tensor."""
        inner, turned = vector[0], vector[1:]
        partial = _expanded(inner, self.bases, skip=self.last)
        for mode, slices in enumerate(self.slices):
            if mode != self.last:
                replaced = [
                    turned[mode] if other == mode else basis for other, basis in enumerate(self.bases)
                ]
                partial = partial + _expanded(slices, replaced, skip=self.last)
        both = torch.cat([partial, self.fibres], dim=self.last)
        return mode_project(both, torch.cat([self.bases[self.last], turned[self.last]], dim=1), self.last)

    def coordinates(self, tensor: Tensor) -> Coordinates:
        """The coordinates of a tensor's orthogonal projection."""
        partial = mode_project(tensor, self.bases[self.last].mT, self.last)
        others = [mode for mode in range(tensor.ndim) if mode != self.last]
        result = [_projected(partial, self.bases, others)]
        for mode, slices in enumerate(self.slices):
            if mode == self.last:
                turned = mode_correlate(tensor, self.fibres, mode)
            else:
                fibres = _projected(partial, self.bases, [other for other in others if other != mode])
                turned = mode_correlate(fibres, slices.contiguous(), mode)
            basis = self.bases[mode]
            result.append(turned - basis @ (basis.mT @ turned))
        return result

    def moved(self, vector: Coordinates, step: float) -> "Tangent":
        """The tangent space ``step * vector`` away, brought back to the ranks by a truncated HOSVD."""
        shape = self.core.shape
        directions = [torch.linalg.qr(turned) for turned in vector[1:]]
        wide = self.core.new_zeros([r + d[0].shape[1] for r, d in zip(shape, directions, strict=True)])
        wide[tuple(slice(size) for size in shape)] = self.core + step * vector[0]
        for mode, (_, triangle) in enumerate(directions):
            place = [slice(size) for size in shape]
            place[mode] = slice(shape[mode], None)
            wide[tuple(place)] = step * mode_project(self.slices[mode], triangle, mode)
        core, inner = st_hosvd(wide, shape, range(len(shape)), leading_basis)
        bases = [
            orthonormalize(torch.cat([basis, fresh], dim=1) @ turn)
            for basis, (fresh, _), turn in zip(self.bases, directions, inner, strict=True)
        ]
        return Tangent.at(core, bases)


def _expanded(core: Tensor, matrices: Sequence[Tensor], skip: int) -> Tensor:
    for mode, matrix in enumerate(matrices):
        if mode != skip:
            core = mode_project(core, matrix, mode)
    return core


def _projected(tensor: Tensor, bases: Sequence[Tensor], modes: Sequence[int]) -> Tensor:
    for mode in modes:
        tensor = mode_project(tensor, bases[mode].mT, mode)
    return tensor

"""One basis for a matrix of every layer: ``W_l = (U * S) V_l`` exactly.

Axes: O rows, I columns, L layers, R common rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold._checks import check_tensors
from rankfold._errors import NonFiniteError, RankError, ShapeError

__all__ = ["SharedBasis", "joint_svd"]


@dataclass(frozen=True, slots=True, eq=False)
class SharedBasis:
    """Matrices of equal shape in a common basis.

    Arguments:
        basis: U, ``(O, R)`` with orthonormal columns.
        values: S, ``(R,)``, largest first.
        coefficients: V, ``(L, R, I)``; side by side they have orthonormal rows.
    """

    basis: Tensor
    values: Tensor
    coefficients: Tensor

    def matrix(self, coefficients: Tensor) -> Tensor:
        """The matrix ``(O, I)`` with the given coefficients ``(R, I)``."""
        return (self.basis * self.values) @ coefficients

    @property
    def matrices(self) -> Tensor:
        """All of them, ``(L, O, I)``."""
        return (self.basis * self.values) @ self.coefficients


@torch.no_grad()
def joint_svd(matrices: Sequence[Tensor], rank: int | None = None) -> SharedBasis:
    """The singular value decomposition of matrices side by side.

    Cut to a smaller rank it is a format that compresses all layers at once with one basis.

    Arguments:
        matrices: L of shape ``(O, I)``.
        rank: R, in 1..min(O, L I); None keeps all.

    Returns:
        The basis in float64, the best of its rank for all matrices together.

    Raises:
        ShapeError: none, no matrices, or of different shapes.
        RankError: a rank that the shapes do not allow.
        NonFiniteError: NaN or infinity.

    Reference:
        Yang et al. 2025, "LESA: Learnable LLM layer scaling-up", section 3.

    Example:
        >>> found = joint_svd([torch.eye(3), 2 * torch.eye(3)])
        >>> torch.allclose(found.matrices[1], 2 * torch.eye(3, dtype=torch.float64)), round(float(found.values[0]) ** 2)
        (True, 5)
    """
    check_tensors("joint_svd", matrices)
    shapes = {tuple(matrix.shape) for matrix in matrices}
    if len(shapes) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise ShapeError(
            f"joint_svd: got shapes {sorted(shapes)}; pass matrices of one shape (rows, columns)."
        )
    joined = torch.cat([matrix.detach().double() for matrix in matrices], 1)
    if not bool(joined.isfinite().all()):
        raise NonFiniteError("joint_svd: a matrix holds NaN or infinity; mend it first.")
    most = min(joined.shape)
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= most):
        raise RankError(f"joint_svd: rank must be a whole number in 1..{most}, got {rank!r}; pass one.")
    basis, values, right = torch.linalg.svd(joined, full_matrices=False)
    kept = most if rank is None else rank
    coefficients = right[:kept].unflatten(1, (len(matrices), -1)).transpose(0, 1)
    return SharedBasis(basis[:, :kept], values[:kept], coefficients.contiguous())

"""Whether the factors of a product share its size evenly."""

import torch
from torch import Tensor

from rankfold._checks import check_tensors
from rankfold._errors import ShapeError
from rankfold.formats import CP

__all__ = ["component_balance", "pair_balance"]


@torch.no_grad()
def pair_balance(left: Tensor, right: Tensor) -> float:
    """How far two factors of a product ``A B`` are from balance ``A^T A = B B^T``, from 0 (balanced) to 1.

    Gradient flow on the factors keeps the difference of the two as it is, and plain weight decay draws it to zero; a
    spectral initialisation starts at zero.

    Arguments:
        left: ``(n, r)``.
        right: ``(r, m)``.

    Returns:
        The Frobenius norm of the difference over the sum of the norms; 0 where both are zero.

    Raises:
        ShapeError: sizes that do not fit.

    Reference:
        Arora, Cohen and Hazan 2018, "On the optimization of deep networks", theorem 1.

    Example:
        >>> pair_balance(torch.eye(2), torch.eye(2)), pair_balance(2 * torch.eye(2), torch.eye(2))
        (0.0, 0.6)
    """
    check_tensors("pair_balance", (left, right))
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ShapeError(
            f"pair_balance: got shapes {tuple(left.shape)} and {tuple(right.shape)}; allowed are (n, r) and (r, m)."
        )
    first, second = left.double().mT @ left.double(), right.double() @ right.double().mT
    whole = float(first.norm() + second.norm())
    return float((first - second).norm()) / whole if whole else 0.0


@torch.no_grad()
def component_balance(tensor: CP) -> float:
    """The largest ratio of the lengths of two columns that belong to one component of a CP tensor; 1 is balanced.

    Arguments:
        tensor: its weights count as lengths of the first factor.

    Returns:
        At least 1; components with a zero column are left out, and 1 where there is no other.

    Raises:
        ShapeError: another kind of value.

    Example:
        >>> component_balance(CP(torch.tensor([2.0]), (torch.eye(3)[:, :1], torch.eye(2)[:, :1])))
        2.0
    """
    if not isinstance(tensor, CP):
        raise ShapeError(f"component_balance: got a {type(tensor).__name__}; pass a rankfold.CP tensor.")
    lengths = torch.stack([torch.linalg.vector_norm(factor.double(), dim=0) for factor in tensor.factors])
    lengths[0] *= tensor.weights.double().abs()
    kept = lengths[:, (lengths > 0).all(0)]
    if kept.numel() == 0:
        return 1.0
    return float((kept.amax(0) / kept.amin(0)).amax())

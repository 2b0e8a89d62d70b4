"""A price on leaving the orthogonal matrices, for those that are trained as free ones."""

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError, ShapeError
from rankfold.layers import orthogonal_matrices
from rankfold.linalg import matrix_dtype

__all__ = ["orthogonality_penalty"]


def orthogonality_penalty(model: nn.Module | Tensor) -> Tensor:
    """How far matrices are from orthogonal: the sum of ``|R Rᵀ - I|`` in the Frobenius norm, to be added to a loss.

    The norm itself, not its square: its gradient does not fade near zero, and is zero at orthogonal matrices.

    Arguments:
        model: a model converted by ``rankfold.convert.orthogonalize(model, "direct")``, or one matrix
            ``(..., d, d)``. With the other maps the penalty is rounding.

    Returns:
        A scalar, differentiable.

    Raises:
        OptionError: a model without orthogonal matrices.
        ShapeError: a tensor that holds no square matrices.

    Reference:
        Liu et al. 2021, "Orthogonal Over-Parameterized Training" (orthogonality regularisation; the authors weigh it by
        0.1).

    Example:
        >>> float(orthogonality_penalty(torch.diag(torch.tensor([1.0, 2.0]))))
        3.0
    """
    if isinstance(model, Tensor):
        if model.ndim < 2 or model.shape[-1] != model.shape[-2] or not model.is_floating_point():
            raise ShapeError(
                f"orthogonality_penalty: got shape {tuple(model.shape)} of dtype {model.dtype}, allowed are real "
                "matrices (..., d, d); pass square ones."
            )
        work = model.to(matrix_dtype(model))
        defect = work @ work.mT - torch.eye(work.shape[-1], dtype=work.dtype, device=work.device)
        return torch.linalg.vector_norm(defect, dim=(-2, -1)).sum()
    matrices = orthogonal_matrices(model)
    if not matrices:
        raise OptionError(
            "orthogonality_penalty: the model has no orthogonal matrices; convert it with "
            "rankfold.convert.orthogonalize first."
        )
    penalties = [orthogonality_penalty(matrix) for matrix in matrices.values()]
    return torch.stack([penalty.to(penalties[0]) for penalty in penalties]).sum()

"""The largest eigenvalue of an operator that is only known by its products."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["power_iteration"]


def power_iteration(apply: Callable[[Tensor], Tensor], start: Tensor, *, iterations: int = 30) -> float:
    """Modulus of the largest eigenvalue of a symmetric operator, its spectral norm.

    The error falls with the power ``2 iterations`` of the ratio of the two largest moduli.

    Arguments:
        apply: multiplies a tensor of the shape of ``start`` by the operator.
        start: any tensor that is not orthogonal to the eigenvectors of that value, such as a random one.
        iterations: at least 1.

    Returns:
        The estimate, from below; 0 for the zero operator, NaN where a product is not finite.

    Reference:
        Golub and Van Loan 2013, "Matrix computations", section 8.2.1.

    Example:
        >>> import torch
        >>> matrix = torch.diag(torch.tensor([1.0, -3.0, 2.0]))
        >>> round(power_iteration(lambda vector: matrix @ vector, torch.ones(3)), 4)
        3.0
    """
    vector, length = start, torch.linalg.vector_norm(start)
    for _ in range(iterations):
        vector = apply(vector / torch.where(length > 0, length, 1.0))
        length = torch.linalg.vector_norm(vector)
    return float(length)

"""How much two ways to compute one thing may differ."""

import torch
from torch import Tensor

__all__ = ["assert_same"]


def assert_same(actual: Tensor, expected: Tensor, *, terms: int) -> None:
    """Fail unless two tensors agree, as a whole, up to the rounding of sums of so many terms.

    An inner product of n terms errs by at most n eps times the norms of what is multiplied (Higham 2002,
    section 3.5); chained products add their n. Values so close to zero that they are rounding themselves count
    as zero.

    Arguments:
        actual: the result of the library.
        expected: what it should be, of the same shape.
        terms: the number of terms summed on the longest way from an input to an entry of the result.
    """
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} is not {tuple(expected.shape)}"
    eps = max(torch.finfo(tensor.dtype).eps for tensor in (actual, expected))
    actual, expected = actual.detach().double(), expected.detach().double()
    scale = torch.linalg.vector_norm(expected)
    difference = torch.linalg.vector_norm(actual - expected)
    assert difference <= 4 * terms * eps * torch.where(scale > 0, scale, 1.0), (
        f"differ by {float(difference):.2e} of {float(scale):.2e}, allowed is {4 * terms * eps:.2e} of it"
    )

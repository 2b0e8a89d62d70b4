"""Tucker decompositions by Rankfold and by other packages, on the same data.

Axes: n_i dimensions, r_i ranks.
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pyttb
import torch
from tensorly.decomposition import non_negative_tucker_hals, tucker
from torch import Tensor

from rankfold.decompose._tucker import tucker as ours
from rankfold.formats import Tucker

__all__ = ["COMPLETE", "MASKED", "NONNEGATIVE", "hooi_reference", "noisy"]

Complete = Callable[[Tensor, Sequence[int]], Tucker]


def noisy(shape: Sequence[int], ranks: Sequence[int], noise: float, seed: int) -> Tensor:
    """A Gaussian core in random orthonormal bases, plus noise of the given relative norm."""
    source = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=source, dtype=torch.float64)

    bases = tuple(torch.linalg.qr(normal(n, r))[0] for n, r in zip(shape, ranks, strict=True))
    tensor = Tucker(normal(*ranks), bases).to_dense()
    disturbance = normal(*shape)
    return tensor.contiguous().add_(disturbance, alpha=float(noise * tensor.norm() / disturbance.norm()))


def hooi_reference(tensor: Tensor, ranks: Sequence[int]) -> Tucker:
    """TensorLy's HOOI until its error moves by less than 1e-10."""
    return _tensorly(tucker(tensor.numpy(), rank=list(ranks), tol=1e-10))


def _tensorly(result: object) -> Tucker:
    core, factors = result  # pyright: ignore[reportGeneralTypeIssues]
    return Tucker(
        torch.from_numpy(np.ascontiguousarray(core)), tuple(torch.from_numpy(np.array(f)) for f in factors)
    )


def _pyttb(tensor: Tensor, ranks: Sequence[int]) -> Tucker:
    with redirect_stdout(StringIO()):  # it says more than asked
        found, _, _ = pyttb.tucker_als(pyttb.tensor(tensor.numpy()), list(ranks), init="nvecs", printitn=0)
    factors = tuple(torch.from_numpy(np.array(f)) for f in found.factor_matrices)
    return Tucker(torch.from_numpy(np.ascontiguousarray(found.core.data)), factors)


def _tensorly_masked(tensor: Tensor, observed: Tensor, ranks: Sequence[int]) -> Tucker:
    # What is hidden is set to zero first: its start would look at it.
    known = torch.where(observed, tensor, 0.0)
    return _tensorly(tucker(known.numpy(), rank=list(ranks), mask=observed.double().numpy()))


COMPLETE: dict[str, Complete] = {
    "Rankfold": lambda x, ranks: ours(x, ranks).tensor,
    "TensorLy": lambda x, ranks: _tensorly(tucker(x.numpy(), rank=list(ranks))),
    "pyttb tucker_als": _pyttb,
}
MASKED: dict[str, Callable[[Tensor, Tensor, Sequence[int]], Tucker]] = {
    "Rankfold": lambda x, observed, ranks: ours(x, ranks, mask=observed, generator=0).tensor,
    "TensorLy": _tensorly_masked,
}
NONNEGATIVE: dict[str, Complete] = {
    "Rankfold": lambda x, ranks: ours(x, ranks, nonnegative=True, generator=0).tensor,
    "TensorLy": lambda x, ranks: _tensorly(non_negative_tucker_hals(x.numpy(), rank=list(ranks))),
}

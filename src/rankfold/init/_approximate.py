"""The value of a format and given ranks that is near a dense tensor."""

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.decompose import cp
from rankfold.formats import CP, TT, Format, TTMatrix, Tucker

__all__ = ["approximate", "nearest_cp"]

# Sweeps of alternating least squares. Weights of a network have no few true components to be found: the error falls
# slowly, and more sweeps gain little. The same number as in the study of directly trained forms.
_SWEEPS = 50


@singledispatch
def approximate(like: Any, dense: Tensor, generator: torch.Generator | None) -> Format:
    """The value of the format and ranks of ``like`` that is near a dense tensor.

    Arguments:
        like: a value; its numbers do not matter.
        dense: of its shape.
        generator: source of the start of an iteration, where there is one.

    Raises:
        OptionError: no format that is known here.
    """
    raise OptionError(f"spectral: got a {type(like).__name__}; pass a value in a format, such as Tucker.")


@approximate.register
def _(like: Tucker, dense: Tensor, generator: torch.Generator | None) -> Format:
    return Tucker.from_dense(dense, ranks=[like.ranks[mode] for mode in like.modes], modes=like.modes)


@approximate.register
def _(like: TT, dense: Tensor, generator: torch.Generator | None) -> Format:
    return TT.from_dense(dense, ranks=like.ranks)


@approximate.register
def _(like: TTMatrix, dense: Tensor, generator: torch.Generator | None) -> Format:
    return TTMatrix.from_dense(dense, like.out_sizes, like.in_sizes, ranks=like.ranks)


@approximate.register
def _(like: CP, dense: Tensor, generator: torch.Generator | None) -> Format:
    return nearest_cp(dense, like.rank, generator)


def nearest_cp(dense: Tensor, rank: int, generator: torch.Generator | None) -> CP:
    """By SVD for a matrix, else by alternating least squares, whose error falls slowly on weights of networks."""
    if dense.ndim == 2:
        left, values, right = torch.linalg.svd(dense, full_matrices=False)
        return CP(values[:rank], (left[:, :rank], right[:rank].mT))
    source = torch.Generator()  # the solver draws on the CPU
    place = "cpu" if generator is None else generator.device
    source.manual_seed(int(torch.randint(2**31, (), generator=generator, device=place)))
    found = cp(dense, rank, method="als", max_iterations=_SWEEPS, generator=source)
    return found.tensor.to(dtype=dense.dtype)

"""The algebraic solution by a generalised eigenvalue problem.

Axes: n_i dimensions, R components.
"""

import torch
from torch import Tensor

from rankfold._errors import RankError
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._scaling import balance
from rankfold.linalg import left_singular, unfold

__all__ = ["applicable", "jennrich", "solve"]


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """Jennrich's algorithm, then Levenberg-Marquardt, because noise enters the eigenvalue problem magnified."""
    if not isinstance(data, CompleteData) or not applicable(data.shape, rank):
        raise RankError(
            "cp: the method 'algebraic' needs two dimensions of at least the rank and a third one above 1, here a rank "
            f"up to {_largest(data.shape)}; got rank {rank}, lower it or choose method='auto'."
        )
    factors = jennrich(data.tensor, rank, settings.generator)
    return refine(
        data,
        factors,
        settings,
        iterations=settings.max_iterations,
        tolerance=settings.tolerance,
        name="algebraic",
    )


def applicable(shape: tuple[int, ...], rank: int) -> bool:
    """Whether two dimensions reach the rank and another one tells the components apart."""
    return rank <= _largest(shape)


def _largest(shape: tuple[int, ...]) -> int:
    """The largest rank that the eigenvalue problem can give: the second dimension, if a third one is above 1."""
    ordered = sorted(shape, reverse=True)
    if len(shape) == 2:
        return ordered[1]  # a truncated SVD
    return ordered[1] if len(shape) >= 3 and ordered[2] > 1 else 1


def jennrich(tensor: Tensor, rank: int, generator: torch.Generator) -> list[Tensor]:
    """Components from the eigenvectors of one slice times the inverse of another.

    The two largest modes are projected on their leading singular vectors; two random combinations S and T of the
    slices then share the eigenvectors of ``S T⁻¹`` with the components. The other modes follow by least squares and,
    above order 3, by rank-one approximations.

    Arguments:
        tensor: order 3 or more (order 2 is a truncated SVD), with two dimensions of at least ``rank``.
        rank: number of components.
        generator: draws the combinations, on the CPU.

    Returns:
        Balanced factors. Complex pairs of eigenvalues, which noise makes, give their real and imaginary parts.

    Reference:
        Leurgans, Ross and Abel 1993, "A decomposition for three-way arrays"; Harshman 1970 (there for Jennrich).
    """
    work = tensor.double()
    if rank == 1 or work.ndim == 2:
        return balance([f.to(tensor.dtype) for f in _singular(work, rank)])
    order = sorted(range(work.ndim), key=lambda mode: -work.shape[mode])
    first, second, rest = order[0], order[1], sorted(order[2:])
    cube = work.permute(first, second, *rest).reshape(work.shape[first], work.shape[second], -1)
    bases = [left_singular(unfold(cube, mode), "svd")[0][:, :rank] for mode in (0, 1)]
    slices = torch.einsum("ia,jb,ijk->kab", *bases, cube)
    # Combinations along the leading singular vectors of the slices carry most of the signal.
    _, sizes, right = torch.linalg.svd(slices.flatten(1).mT, full_matrices=False)
    count = min(len(sizes), rank)
    draws = torch.randn(2, count, generator=generator, dtype=torch.float64).to(work.device)
    combined = (draws @ right[:count]) @ slices.flatten(1)
    above, below = combined.view(2, rank, rank)
    vectors = _real_eigenvectors(above @ torch.linalg.pinv(below))
    left = bases[0] @ vectors
    # x_(1) = left (other modes)ᵀ: what is left is one rank-one tensor per component.
    others = torch.linalg.pinv(left) @ cube.flatten(1)
    shape = [work.shape[mode] for mode in (second, *rest)]
    columns = [_rank_one(row.view(shape)) for row in others]
    factors = [torch.empty(0)] * work.ndim
    factors[first] = left
    for position, mode in enumerate((second, *rest)):
        factors[mode] = torch.stack([column[position] for column in columns], dim=1)
    return balance([factor.to(tensor.dtype) for factor in factors])


def _real_eigenvectors(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eig(matrix)
    # Of a complex pair the one takes the real part, the other the imaginary part: together they span the same plane.
    return torch.where(values.imag >= 0, vectors.real, vectors.imag)


def _rank_one(tensor: Tensor) -> list[Tensor]:
    """Leading singular vectors of all unfoldings; the first carries the size."""
    if tensor.ndim == 1:
        return [tensor]
    vectors = [left_singular(unfold(tensor, mode), "svd")[0][:, 0] for mode in range(tensor.ndim)]
    size = tensor
    for vector in reversed(vectors):
        size = size @ vector
    return [vectors[0] * size, *vectors[1:]]


def _singular(tensor: Tensor, rank: int) -> list[Tensor]:
    if tensor.ndim == 2:
        left, values, right = torch.linalg.svd(tensor, full_matrices=False)
        return [left[:, :rank] * values[:rank], right[:rank].mT]
    return [vector.unsqueeze(1) for vector in _rank_one(tensor)]


METHODS.add(
    Method(
        name="algebraic",
        solve=solve,
        summary="Generalised eigenvalue problem (Jennrich), then Levenberg-Marquardt; needs two dimensions >= rank.",
        source="Harshman 1970; Leurgans, Ross and Abel 1993",
    )
)

"""The fast way to truncate float32 tensors to a loose tolerance: Gram matrices in the tensor's own precision.

Axes: n_i dimensions, r_i ranks. A float32 Gram matrix loses singular values below 3e-4 of the largest, and its
eigenvectors are orthonormal to a few hundred eps. Neither matters when the tolerance is far larger: tails are taken as
what the leading part leaves of the norm, which is known in float64, and the few vectors kept are polished.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.linalg._batching import map_same_shape
from rankfold.linalg._contract import mode_inner, mode_products
from rankfold.linalg._orthonormalize import polished
from rankfold.linalg._precision import spectrum_dtype
from rankfold.linalg._spectrum import fixed_signs
from rankfold.linalg._unfold import unfold

__all__ = ["gram_bases", "gram_project", "gram_resolves", "gram_tails", "in_scale"]

# The squares of the tolerance must stay far above the rounding of a float32 Gram matrix, about 1e-6 of its trace.
_LOOSE = 1e-2
_ROUNDING = 32 * torch.finfo(torch.float32).eps
# Squared norms whose Gram matrices neither overflow float32 nor lose what the tolerance asks to underflow.
_SMALLEST, _LARGEST = 1e-24, 1e36
# Choice of this library: for eigenproblems this small the cost of the call hides that of float64.
_SMALL = 64


def gram_resolves(tensors: Sequence[Tensor], tolerance: float | None) -> bool:
    """Whether float32 is precise enough for what the tolerance asks."""
    return tolerance is not None and tolerance >= _LOOSE and all(t.dtype == torch.float32 for t in tensors)


def in_scale(total: Tensor) -> Tensor:
    """Whether a tensor of this squared norm, float64, has Gram matrices in the range of float32; zero has."""
    return (total == 0) | ((total >= _SMALLEST) & (total <= _LARGEST))


def gram_bases(
    tensors: Sequence[Tensor], modes: Sequence[tuple[int, ...]], matrices: Sequence[tuple[int, ...]]
) -> tuple[list[dict[int, Tensor]], list[dict[int, Tensor]]]:
    """Eigenvectors (n, n) and singular values (n, float64) of every mode; same-sized eigenproblems in one batch.

    The two modes of a matrix, listed in ``matrices``, share their singular values; the second gets no eigenvectors.
    """
    places = [
        (index, mode)
        for index, treated in enumerate(modes)
        for mode in treated
        if not matrices[index] or mode != max(matrices[index])
    ]
    grams = [mode_inner(tensors[index], tensors[index], mode) for index, mode in places]
    bases: list[dict[int, Tensor]] = [{} for _ in tensors]
    spectra: list[dict[int, Tensor]] = [{} for _ in tensors]
    if grams:
        found = map_same_shape(_eigenvectors, grams)
        for (index, mode), (vectors, values) in zip(places, found, strict=True):
            bases[index][mode], spectra[index][mode] = vectors, values
    for index, matrix in enumerate(matrices):
        if matrix:
            row, column = sorted(matrix)
            values, size = spectra[index][row], tensors[index].shape[column]
            spectra[index][column] = torch.nn.functional.pad(values[:size], (0, max(size - len(values), 0)))
    return bases, spectra


def gram_tails(total: Tensor, squares: Tensor) -> Tensor:
    """Squared norm of what each number of leading vectors leaves of the total, and an allowance for rounding."""
    leading = squares.cumsum(-1)
    before = torch.cat([torch.zeros_like(leading[:1]), leading[:-1]])
    return (total - before).clamp_min(0) + _ROUNDING * total


def gram_project(
    tensor: Tensor, bases: dict[int, Tensor], kept: dict[int, int], matrix: tuple[int, ...]
) -> tuple[Tensor, dict[int, Tensor]]:
    """The projected core and the bases, orthonormal to the precision of the tensor.

    Arguments:
        tensor: what is truncated.
        bases: eigenvectors of every mode.
        kept: rank of every mode.
        matrix: the two modes of a tensor that is a matrix, else empty. Its second basis then follows from the first,
            so that both sides of each direction belong together.
    """
    cut = {mode: vectors[:, : kept[mode]] for mode, vectors in bases.items()}  # ones for dimensions of size 1
    if matrix:
        row, column = sorted(matrix)
        cut[row] = polished(fixed_signs(cut[row]))
        image = unfold(mode_products(tensor, {row: cut[row].mT}), column)
        basis, triangle = torch.linalg.qr(image)
        signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(basis.dtype)
        cut[column] = basis * signs
        shape = list(tensor.shape)
        shape[row] = shape[column] = kept[row]
        core = (triangle * signs.unsqueeze(-1)).mT
        rest = {
            mode: torch.ones_like(tensor[(0,) * tensor.ndim]).reshape(1, 1)
            for mode in bases
            if mode not in matrix
        }
        return core.reshape(shape), {**cut, **rest}
    cut = {mode: polished(fixed_signs(vectors)) for mode, vectors in cut.items()}
    return mode_products(tensor, {mode: vectors.mT for mode, vectors in cut.items()}), cut


def _eigenvectors(grams: Tensor) -> tuple[Tensor, Tensor]:
    work = grams.to(spectrum_dtype(grams)) if grams.shape[-1] < _SMALL else grams
    squares, vectors = torch.linalg.eigh(work)
    values = squares.to(spectrum_dtype(grams)).clamp_min(0).sqrt().flip(-1)
    return vectors.flip(-1).to(grams.dtype), values

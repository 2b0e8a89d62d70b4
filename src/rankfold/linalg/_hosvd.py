"""Truncated higher-order SVD: of many small cores at once, and sequentially of one large tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, RankError
from rankfold.linalg._batching import map_same_shape
from rankfold.linalg._contract import mode_products
from rankfold.linalg._gram_hosvd import gram_bases, gram_project, gram_resolves, gram_tails, in_scale
from rankfold.linalg._mode_gram import mode_gram, mode_project
from rankfold.linalg._precision import matrix_dtype, spectrum_dtype
from rankfold.linalg._spectrum import (
    Method,
    fixed_signs,
    gram_singular,
    left_singular,
    method_for,
    rank_floor,
)
from rankfold.linalg._unfold import unfold

__all__ = ["HOSVD", "sequential_hosvd", "truncated_hosvd"]

_NOT_FINITE = "truncated_hosvd: a spectrum is not finite; all entries must be finite numbers."


@dataclass(frozen=True, slots=True, eq=False)
class HOSVD:
    """A tensor projected on the leading singular vectors of its unfoldings.

    Arguments:
        core: the projected tensor, ``tensor x_i P_iᵀ``.
        bases: for each mode that was treated its ``P_i``, ``(n_i, r_i)`` with orthonormal columns.
        spectra: for each treated mode all singular values of the unfolding, largest first, in float64.
        error: Frobenius norm of what was cut, a scalar tensor (no host sync until it is read).
        demanded: with a tolerance, for each treated mode the rank that it alone asks for.
    """

    core: Tensor
    bases: dict[int, Tensor]
    spectra: dict[int, Tensor]
    error: Tensor
    demanded: dict[int, int]


def truncated_hosvd(
    tensors: Sequence[Tensor],
    modes: Sequence[tuple[int, ...]],
    *,
    tolerance: float | None = None,
    ranks: Sequence[tuple[int, ...]] | None = None,
    min_rank: int = 1,
    max_ranks: Sequence[tuple[int, ...]] | None = None,
    quantum: int = 1,
    method: Method | None = None,
) -> list[HOSVD]:
    """Truncate many tensors by HOSVD, each to within ``tolerance`` of its own norm over all modes together.

    Each of the d modes that can be cut gets ``tolerance / sqrt(d)``, because the squared errors of the modes
    add up; a matrix has one spectrum only and gets all of it. With neither tolerance nor ranks the tensors
    are only rotated to all-orthogonal form and nothing is cut.

    Arguments:
        tensors: the cores; same-shaped ones are factorised in one batch.
        modes: for each tensor the modes to treat.
        tolerance: relative Frobenius error, ``0 <= tolerance < 1``. Tails below rounding go even at 0.
        ranks: instead of a tolerance, for each tensor the rank of each of its modes.
        min_rank: with a tolerance, the smallest rank a mode may get (as far as it has so many).
        max_ranks: with a tolerance, for each tensor the largest rank of each of its modes; goes before min_rank.
        quantum: with a tolerance, ranks are rounded up to its multiples where a mode allows as much.
        method: ``'gram'``, ``'svd'``, or None for the fastest that resolves the tolerance.

    Returns:
        One :class:`HOSVD` per tensor; the whole call waits for the device once.

    Raises:
        NonFiniteError: a tensor holds NaN or infinity.
        RankError: a rank outside 1..n_i.

    Reference:
        De Lathauwer, De Moor, Vandewalle 2000, "A multilinear singular value decomposition", property 10.

    Example:
        >>> import torch
        >>> result, = truncated_hosvd([torch.diag(torch.tensor([4.0, 3.0, 1e-3]))], [(0, 1)], tolerance=0.01)
        >>> tuple(result.core.shape)
        (2, 2)
    """
    fast = method is None and gram_resolves(tensors, tolerance)
    matrices = [
        _active(tensor, treated) if _is_matrix(tensor, treated) else ()
        for tensor, treated in zip(tensors, modes, strict=True)
    ]
    try:
        if fast:
            bases, spectra = gram_bases(tensors, modes, matrices)
        else:
            bases, spectra = _all_bases(tensors, modes, method or method_for(tolerance))
        if tolerance is None:
            _check_finite(spectra)
        cuts = (
            [{} for _ in tensors]
            if tolerance is None
            else _tolerance_ranks(tensors, spectra, tolerance, fast)
        )
    except RuntimeError as error:  # LAPACK's complaint, or ours about a spectrum
        bad = [index for index, tensor in enumerate(tensors) if not bool(tensor.isfinite().all())]
        if not bad and fast:  # entries whose squares leave float32
            return truncated_hosvd(
                tensors,
                modes,
                tolerance=tolerance,
                ranks=ranks,
                min_rank=min_rank,
                max_ranks=max_ranks,
                quantum=quantum,
                method=method_for(tolerance),
            )
        if not bad:
            raise
        raise NonFiniteError(
            f"truncated_hosvd: tensors {bad} hold NaN or infinity, all entries must be finite; lower the learning rate "
            "or look for the layer that overflows."
        ) from error
    results = []
    for index, tensor in enumerate(tensors):
        kept: dict[int, int] = {}
        for position, mode in enumerate(modes[index]):
            if ranks is not None:
                kept[mode] = _checked_rank(ranks[index][position], tensor.shape[mode], mode)
            elif tolerance is not None:
                ceiling = tensor.shape[mode] if max_ranks is None else max_ranks[index][position]
                ceiling = min(ceiling, tensor.shape[mode])
                wanted = max(min(max(cuts[index][mode], min_rank), ceiling), 1)
                rounded = -(-wanted // quantum) * quantum
                kept[mode] = rounded if rounded <= ceiling else wanted
            else:
                kept[mode] = tensor.shape[mode]
        both = matrices[index]
        if both and not (tolerance is None and ranks is None):
            # Both sides of a matrix are cut at the same place, or matching directions would be lost.
            kept.update(dict.fromkeys(both, min(kept[mode] for mode in both)))
        project = gram_project if fast else _project
        work, cut = project(tensor, bases[index], kept, both)
        demanded = {mode: max(rank, 1) for mode, rank in cuts[index].items()}
        results.append(HOSVD(work.to(tensor.dtype), cut, spectra[index], _lost(tensor, work), demanded))
    return results


def sequential_hosvd(
    tensor: Tensor,
    modes: tuple[int, ...],
    *,
    tolerance: float | None = None,
    ranks: tuple[int, ...] | None = None,
    method: Method | None = None,
) -> HOSVD:
    """Sequentially truncated HOSVD of one dense tensor: each mode works on what the earlier ones left.

    Arguments:
        tensor: any shape.
        modes: the modes to treat, in this order.
        tolerance: relative Frobenius error over all modes together, ``0 <= tolerance < 1``.
        ranks: instead of a tolerance, the rank of each mode.
        method: ``'gram'``, ``'svd'``, or None for the faster one that resolves the tolerance.

    Returns:
        The :class:`HOSVD`. What a mode does not use of its share of the error passes to the later modes.

    Raises:
        NonFiniteError: the tensor holds NaN or infinity.
        RankError: a rank outside 1..n_i.

    Reference:
        Vannieuwenhoven, Vandebril, Meerbergen 2012, "A new truncation strategy for the higher-order singular
        value decomposition", algorithm 1.

    Example:
        >>> import torch
        >>> result = sequential_hosvd(torch.ones(4, 5, 6), (0, 1, 2), tolerance=0.1)
        >>> tuple(result.core.shape)
        (1, 1, 1)
    """
    work = tensor.to(matrix_dtype(tensor))
    norm = torch.linalg.vector_norm(work, dtype=spectrum_dtype(tensor))
    if not bool(norm.isfinite()):
        raise NonFiniteError(
            "sequential_hosvd: the tensor holds NaN or infinity; all entries must be finite."
        )
    # With given ranks the Gram path is good enough: vectors below its resolution are noise beside the rest.
    chosen = method or ("gram" if ranks is not None else method_for(tolerance))
    matrix = _is_matrix(tensor, modes)
    budget = (max(tolerance or 0.0, rank_floor(tensor)) * norm) ** 2
    bases, spectra, kept = {}, {}, {}
    for position, mode in enumerate(modes):
        size = work.shape[mode]
        columns = work.numel() // max(size, 1)
        if chosen == "gram" and size <= columns:
            vectors, values = gram_singular(mode_gram(work, mode))
        else:
            # More vectors than the unfolding has rank are needed only where the ranks ask for them.
            square = ranks is not None and ranks[position] > min(size, columns)
            vectors, values = left_singular(unfold(work, mode), chosen, square=square)
        share = budget if matrix else budget / (len(modes) - position)
        tails = values.square().flip(-1).cumsum(-1).flip(-1)
        if ranks is not None:
            rank = _checked_rank(ranks[position], min(work.shape[mode], vectors.shape[-1]), mode)
        else:
            rank = max(int((tails > share).sum()), 1)
            budget = budget - (tails[rank] if rank < len(tails) else 0.0)
        bases[mode] = vectors[:, :rank]
        spectra[mode], kept[mode] = values, rank
        # The first projection reads the tensor in its own precision, what follows is small.
        work = mode_project(work, bases[mode].mT.to(work.dtype), mode).to(spectrum_dtype(tensor))
    error = (norm.square() - torch.linalg.vector_norm(work).square()).clamp_min(0).sqrt()
    return HOSVD(
        work.to(tensor.dtype), {m: b.to(tensor.dtype) for m, b in bases.items()}, spectra, error, kept
    )


def _checked_rank(rank: int, size: int, mode: int) -> int:
    if not 1 <= rank <= size:
        raise RankError(
            f"HOSVD: the rank of mode {mode} must lie in 1..{size}, got {rank}; pass a rank in range."
        )
    return rank


def _active(tensor: Tensor, modes: tuple[int, ...]) -> tuple[int, ...]:
    """The treated modes that have something to cut."""
    return tuple(mode for mode in modes if tensor.shape[mode] > 1)


def _is_matrix(tensor: Tensor, modes: tuple[int, ...]) -> bool:
    active = _active(tensor, modes)
    return len(active) == 2 and prod(tensor.shape) == tensor.shape[active[0]] * tensor.shape[active[1]]


def _all_bases(
    tensors: Sequence[Tensor], modes: Sequence[tuple[int, ...]], method: Method
) -> tuple[list[dict[int, Tensor]], list[dict[int, Tensor]]]:
    """Every singular basis (n, n) and spectrum (n), batched over the unfoldings of equal shape."""
    bases: list[dict[int, Tensor]] = [{} for _ in tensors]
    spectra: list[dict[int, Tensor]] = [{} for _ in tensors]
    pairs, matrices, places, unfoldings = [], [], [], []
    for index, tensor in enumerate(tensors):
        both = _active(tensor, modes[index]) if _is_matrix(tensor, modes[index]) else ()
        if both:
            pairs.append((index, *both))
            matrices.append(unfold(tensor, both[0]))
        rest = [mode for mode in modes[index] if mode not in both]
        places += [(index, mode) for mode in rest]
        unfoldings += [unfold(tensor, mode) for mode in rest]
    if matrices:
        found = map_same_shape(_both_sides, matrices)
        for (index, row, column), (left, right, row_values, column_values) in zip(pairs, found, strict=True):
            bases[index].update({row: left, column: right})
            spectra[index].update({row: row_values, column: column_values})
    if unfoldings:
        found = map_same_shape(lambda matrix: left_singular(matrix, method, square=True), unfoldings)
        for (index, mode), (vectors, values) in zip(places, found, strict=True):
            bases[index][mode], spectra[index][mode] = vectors, values
    return bases, spectra


def _both_sides(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All left and right singular vectors of matrices (..., n, N), and the spectrum padded to either length."""
    left, values, right = torch.linalg.svd(matrix.to(spectrum_dtype(matrix)))
    right, count = right.mT, values.shape[-1]
    fixed = fixed_signs(left)
    # The right vectors turn with the left ones, so that the diagonal core stays positive.
    signs = (fixed * left).sum(-2, keepdim=True).sign()[..., :count]
    right = torch.cat([right[..., :count] * signs, right[..., count:]], dim=-1)
    rows, columns = (torch.nn.functional.pad(values, (0, size - count)) for size in matrix.shape[-2:])
    return fixed, right, rows, columns


def _tolerance_ranks(
    tensors: Sequence[Tensor], spectra: list[dict[int, Tensor]], tolerance: float, fast: bool
) -> list[dict[int, int]]:
    """Smallest ranks whose tails obey the tolerance. One host sync."""
    counts = []
    for tensor, by_mode in zip(tensors, spectra, strict=True):
        active = [mode for mode in by_mode if tensor.shape[mode] > 1]
        parts = 1 if _is_matrix(tensor, tuple(by_mode)) else max(len(active), 1)
        relative = max(tolerance / parts**0.5, rank_floor(tensor))
        total = torch.linalg.vector_norm(tensor, dtype=spectrum_dtype(tensor)).square() if fast else None
        for values in by_mode.values():
            squares = values.square()
            sum_of_squares = squares.sum()
            tails = squares.flip(-1).cumsum(-1).flip(-1) if total is None else gram_tails(total, squares)
            count = (tails > relative**2 * sum_of_squares).sum()
            usable = sum_of_squares.isfinite() if total is None else in_scale(total)
            counts.append(torch.where(usable, count, -1))
    if not counts:
        return [{} for _ in tensors]
    flat = iter(torch.stack(counts).tolist())
    ranks = [{mode: int(next(flat)) for mode in by_mode} for by_mode in spectra]
    if any(rank < 0 for by_mode in ranks for rank in by_mode.values()):
        raise NonFiniteError(_NOT_FINITE)
    return ranks


def _check_finite(spectra: list[dict[int, Tensor]]) -> None:
    """LAPACK refuses NaN but not infinity. One host sync."""
    sums = [values.sum() for by_mode in spectra for values in by_mode.values()]
    if sums and not bool(torch.stack(sums).isfinite().all()):
        raise NonFiniteError(_NOT_FINITE)


def _project(
    tensor: Tensor, bases: dict[int, Tensor], kept: dict[int, int], matrix: tuple[int, ...]
) -> tuple[Tensor, dict[int, Tensor]]:
    work = tensor.to(spectrum_dtype(tensor))
    cut = {mode: bases[mode][:, : kept[mode]] for mode in bases}
    work = mode_products(work, {mode: basis.mT for mode, basis in cut.items()})
    return work, {mode: basis.to(tensor.dtype) for mode, basis in cut.items()}


def _lost(tensor: Tensor, core: Tensor) -> Tensor:
    """Norm of what an orthogonal projection removed, by Pythagoras in float64."""
    dtype = spectrum_dtype(tensor)
    norm, left = (torch.linalg.vector_norm(t, dtype=dtype) for t in (tensor, core))
    return (norm.square() - left.square()).clamp_min(0).sqrt()

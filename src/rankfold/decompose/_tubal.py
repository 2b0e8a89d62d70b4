"""The algebra of third-order tensors as matrices of tubes: t-product, t-SVD and t-CUR.

Axes: a tensor is (n1, n2, n3); a transform along the third axis turns products of tubes into products of numbers, so
that everything happens slice by slice. Hats in the papers, ``slices`` here, mark transformed tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from rankfold._checks import check_number
from rankfold._errors import NonFiniteError, OptionError, RankError, ShapeError
from rankfold._registry import Registry

__all__ = [
    "TCUR",
    "TRANSFORMS",
    "TSVD",
    "TubeTransform",
    "cosine_matrix",
    "largest_crossing",
    "t_cur",
    "t_product",
    "t_svd",
    "tube_product",
]


@dataclass(frozen=True, slots=True)
class TubeTransform:
    """An invertible linear map of the third axis.

    Arguments:
        name: how it is chosen.
        forward: (n1, n2, n3) real -> (n1, n2, m) slices; only as many as are needed to know all.
        inverse: slices and n3 -> (n1, n2, n3) real.
        weights: how often each of the m slices counts in the squared norm of the tensor, from n3.
        summary: one line.
        source: where it comes from.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor, int], Tensor]
    weights: Callable[[int], Tensor]
    summary: str
    source: str


def cosine_matrix(size: int, like: Tensor) -> Tensor:
    """The orthogonal matrix of the discrete cosine transform of type II, one row per frequency."""
    places = torch.arange(size, device=like.device, dtype=torch.float64)
    matrix = torch.cos(pi / size * (places + 0.5) * places.unsqueeze(1)) * (2 / size) ** 0.5
    matrix[:1] /= 2**0.5
    return matrix.to(like.dtype)


def _half_weights(size: int) -> Tensor:
    """A real tensor has its spectrum twice, but for the constant part and the highest even one."""
    weights = torch.full((size // 2 + 1,), 2.0 / size, dtype=torch.float64)
    weights[0] = 1 / size
    if size % 2 == 0:
        weights[-1] = 1 / size
    return weights


TRANSFORMS: Registry[TubeTransform] = Registry(
    "tube transform",
    TubeTransform(
        "fft",
        lambda x: torch.fft.rfft(x, dim=2),
        lambda slices, size: torch.fft.irfft(slices, n=size, dim=2),
        _half_weights,
        "circular convolution of tubes; the order of the slices matters",
        "Kilmer and Martin 2011, Factorization strategies for third-order tensors",
    ),
    TubeTransform(
        "dct",
        lambda x: x @ cosine_matrix(x.shape[2], x).mT,
        lambda slices, size: slices @ cosine_matrix(size, slices),
        lambda size: torch.ones(size, dtype=torch.float64),
        "cosine transform: real, without wrapping round; the order of the slices matters",
        "Kernfeld, Kilmer and Aeron 2015, Tensor-tensor products with invertible linear transforms",
    ),
    TubeTransform(
        "none",
        lambda x: x,
        lambda slices, size: slices,
        lambda size: torch.ones(size, dtype=torch.float64),
        "each slice by itself; their order does not matter",
        "Kernfeld, Kilmer and Aeron 2015, Tensor-tensor products with invertible linear transforms",
    ),
)


def t_product(left: Tensor, right: Tensor, transform: str = "fft") -> Tensor:
    """The product of two third-order tensors as matrices of tubes.

    Arguments:
        left: ``(n1, k, n3)``, real.
        right: ``(k, n2, n3)``, real.
        transform: name in :data:`TRANSFORMS`.

    Returns:
        ``(n1, n2, n3)``.

    Raises:
        ShapeError: not of third order, or sizes that do not fit.

    Reference:
        Kilmer and Martin 2011, "Factorization strategies for third-order tensors", definition 3.

    Example:
        >>> a, b = torch.ones(2, 3, 4), torch.ones(3, 2, 4)
        >>> t_product(a, b)[0, 0].tolist()  # each tube of ones convolved with one of ones gives 4, and there are 3
        [12.0, 12.0, 12.0, 12.0]
    """
    _third_order("t_product", left)
    _third_order("t_product", right)
    if (left.dtype, left.device) != (right.dtype, right.device):
        raise ShapeError(
            f"t_product: got {left.dtype} on {left.device} and {right.dtype} on {right.device}; bring them to one "
            "with .to()."
        )
    if left.shape[1] != right.shape[0] or left.shape[2] != right.shape[2]:
        raise ShapeError(
            f"t_product: got {tuple(left.shape)} and {tuple(right.shape)}; allowed are (n1, k, n3) and (k, n2, n3)."
        )
    return tube_product(left, right, transform)


def tube_product(left: Tensor, right: Tensor, transform: str) -> Tensor:
    """:func:`t_product` of tensors that were checked before."""
    kind = TRANSFORMS[transform]
    slices = kind.forward(left).permute(2, 0, 1) @ kind.forward(right).permute(2, 0, 1)
    return kind.inverse(slices.permute(1, 2, 0), left.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class TSVD:
    """A truncated t-SVD ``U * S * V^T``, kept in two parts.

    Arguments:
        left: ``U``, ``(n1, r, n3)`` with orthonormal lateral slices.
        right: ``S * V^T``, ``(r, n2, n3)``.
        spectrum: for each of the min(n1, n2) places the norm over all slices of the singular values there.
        transform: of its product.
    """

    left: Tensor
    right: Tensor
    spectrum: Tensor
    transform: str

    @property
    def rank(self) -> int:
        """The tubal rank r."""
        return self.left.shape[1]

    def to_dense(self) -> Tensor:
        """The tensor ``(n1, n2, n3)``."""
        return t_product(self.left, self.right, self.transform)


@torch.no_grad()
def t_svd(
    x: Tensor, rank: int | None = None, *, tolerance: float | None = None, transform: str = "fft"
) -> TSVD:
    """The best approximation of a third-order tensor by one of smaller tubal rank.

    Arguments:
        x: ``(n1, n2, n3)``, float32 or float64.
        rank: the tubal rank, in 1..min(n1, n2).
        tolerance: instead, the relative error allowed, in [0, 1); the smallest rank within it is taken.
        transform: name in :data:`TRANSFORMS`.

    Returns:
        The t-SVD; with neither rank nor tolerance the whole one.

    Raises:
        ShapeError: not of third order, or empty.
        RankError: a rank that the shape does not allow.
        OptionError: both rank and tolerance, or a tolerance out of range.
        NonFiniteError: NaN or infinity.

    Reference:
        Kilmer and Martin 2011, "Factorization strategies for third-order tensors", theorem 4.3.

    Example:
        >>> x = torch.einsum("i,j,k->ijk", torch.arange(1.0, 4), torch.arange(1.0, 3), torch.tensor([1.0, -1.0]))
        >>> found = t_svd(x, tolerance=1e-6)
        >>> found.rank, torch.allclose(found.to_dense(), x, atol=1e-5)
        (1, True)
    """
    _third_order("t_svd", x)
    kind, most = TRANSFORMS[transform], min(x.shape[:2])
    if rank is not None and tolerance is not None:
        raise OptionError("t_svd: got both a rank and a tolerance; pass one of them.")
    if tolerance is not None:
        check_number("t_svd", "tolerance", tolerance, 0, 1)
    if rank is not None:
        _require_rank("t_svd", rank, most, x.shape)
    left, values, right = torch.linalg.svd(kind.forward(x).permute(2, 0, 1), full_matrices=False)
    weights = kind.weights(x.shape[2]).to(values.device)
    energies = (values.double().square() * weights.unsqueeze(1)).sum(0)
    if tolerance is not None:
        tails = energies.flip(0).cumsum(0).flip(0)
        rank = max(int((tails > tolerance**2 * energies.sum()).sum()), 1)
    rank = most if rank is None else rank
    cut = (values.unsqueeze(2) * right)[:, :rank]
    return TSVD(
        kind.inverse(left[:, :, :rank].permute(1, 2, 0), x.shape[2]),
        kind.inverse(cut.permute(1, 2, 0), x.shape[2]),
        energies.sqrt(),
        transform,
    )


@dataclass(frozen=True, slots=True, eq=False)
class TCUR:
    """A tensor written by some of its own columns and rows, ``C * U * R``.

    Arguments:
        columns, rows: the places that were chosen, in the order of their choice.
        left: ``C = x[:, columns]``, ``(n1, r, n3)``.
        core: ``U``, ``(r, r, n3)``.
        right: ``R = x[rows]``, ``(r, n2, n3)``.
        transform: of its product.
    """

    columns: Tensor
    rows: Tensor
    left: Tensor
    core: Tensor
    right: Tensor
    transform: str

    def to_dense(self) -> Tensor:
        """The tensor ``(n1, n2, n3)``."""
        return t_product(t_product(self.left, self.core, self.transform), self.right, self.transform)


@torch.no_grad()
def t_cur(x: Tensor, rank: int, *, transform: str = "fft") -> TCUR:
    """Write a third-order tensor by the columns and rows that carry most of its norm.

    The columns with the largest norms over all slices are taken, then the rows with the largest norms within these.
    The core is ``C^+ * x * R^+``, the best one for them; the inverse of the block where they cross costs less and errs
    more (on a noisy tensor of tubal rank 5, .46 against .28, where the t-SVD has .08). Where the tensor may be rotated
    freely :func:`t_svd` is always at least as good; here rows and columns are those of the data.

    Arguments:
        x: ``(n1, n2, n3)``, float32 or float64.
        rank: number of columns and of rows, in 1..min(n1, n2).
        transform: name in :data:`TRANSFORMS`.

    Returns:
        The approximation; exact where the tubal rank is at most ``rank`` and the choice spans it.

    Raises:
        ShapeError, RankError, NonFiniteError: as of :func:`t_svd`.

    Reference:
        Tarzanagh and Michailidis 2018, "Fast randomized algorithms for t-product based tensor operations and
        decompositions"; the choice as in He et al. 2025, "tCURLoRA".

    Example:
        >>> x = torch.einsum("i,j,k->ijk", torch.arange(1.0, 4), torch.arange(1.0, 3), torch.tensor([1.0, 2.0]))
        >>> found = t_cur(x, 1)
        >>> found.columns.tolist(), found.rows.tolist(), torch.allclose(found.to_dense(), x, atol=1e-5)
        ([1], [2], True)
    """
    _third_order("t_cur", x)
    _require_rank("t_cur", rank, min(x.shape[:2]), x.shape)
    kind = TRANSFORMS[transform]
    columns, rows = largest_crossing(x, rank, transform)
    left, right = x[:, columns], x[rows]
    slices = kind.forward(x).permute(2, 0, 1)
    outer, inner = slices[:, :, columns], slices[:, rows]
    core = torch.linalg.pinv(outer) @ slices @ torch.linalg.pinv(inner)
    return TCUR(columns, rows, left, kind.inverse(core.permute(1, 2, 0), x.shape[2]), right, transform)


@torch.no_grad()
def largest_crossing(x: Tensor, rank: int, transform: str) -> tuple[Tensor, Tensor]:
    """Columns with the largest norms over all slices, and the rows with the largest norms within them."""
    slices = TRANSFORMS[transform].forward(x).abs()
    columns = torch.linalg.vector_norm(slices, dim=0).sum(1).topk(rank).indices
    rows = torch.linalg.vector_norm(slices[:, columns], dim=1).sum(1).topk(rank).indices
    return columns, rows


def _third_order(where: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.ndim != 3 or x.numel() == 0:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"{where}: got {got}; pass a tensor of shape (n1, n2, n3) that is not empty.")
    if x.dtype not in (torch.float32, torch.float64):
        raise ShapeError(f"{where}: got {x.dtype}; pass float32 or float64.")
    if not bool(x.isfinite().all()):
        raise NonFiniteError(f"{where}: the tensor holds NaN or infinity; mend it first.")


def _require_rank(where: str, rank: int, most: int, shape: torch.Size) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= most:
        raise RankError(
            f"{where}: rank must be a whole number in 1..{most} for a tensor of shape {tuple(shape)}, got {rank!r}; "
            "pass such a one."
        )

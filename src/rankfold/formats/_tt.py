"""The tensor-train format: one core of order 3 per mode, multiplied in a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.formats._checks import as_tensor, check_dense, check_one_of, check_train, ranks_within
from rankfold.formats._format import Format
from rankfold.formats._scale import scaled, shifted
from rankfold.formats._shapes import checked_modes
from rankfold.formats._tt_refine import coarsened, refined
from rankfold.formats._tt_sweeps import left_to_right, right_to_left, split_dense, truncated
from rankfold.formats._tucker import Tucker

if TYPE_CHECKING:
    from rankfold._display import Block

__all__ = ["TT"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TT(Format):
    """A tensor whose entries are products of matrices, ``x[i_1, ..., i_d] = G_1[i_1] ... G_d[i_d]``.

    Arguments:
        cores: per mode a core ``(r_{k-1}, n_k, r_k)`` with ``r_0 = r_d = 1``, two or more, floating point.

    Raises:
        ShapeError: the cores do not belong together.

    Reference:
        Oseledets 2011, "Tensor-train decomposition", equation 1.2.

    Example:
        >>> import torch
        >>> t = TT((torch.ones(1, 3, 2), torch.ones(2, 4, 2), torch.ones(2, 5, 1)))
        >>> t.shape, t.ranks, t.num_parameters
        ((3, 4, 5), (2, 2), 32)
    """

    _lead: ClassVar[int] = 3

    cores: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cores", check_train("TT", "rnr", self.cores))

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d) of the tensor."""
        return tuple(core.shape[1] for core in self.cores)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The inner ranks (r_1, ..., r_{d-1})."""
        return tuple(core.shape[2] for core in self.cores[:-1])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The cores."""
        return self.cores

    # -- what it computes ------------------------------------------------------------------------------

    def to_dense(self) -> Tensor:
        """Multiply out, from the first core to the last; differentiable.

        Returns:
            The tensor of ``shape``.

        Example:
            >>> import torch
            >>> TT((torch.ones(1, 1, 2), torch.ones(2, 3, 1))).to_dense()
            tensor([[2., 2., 2.]])
        """
        result = self.cores[0]
        for core in self.cores[1:]:
            result = result.flatten(0, -2) @ core.flatten(1)
            result = result.unflatten(-1, core.shape[1:])
        return result.reshape(self.shape)

    def mode_products(self, matrices: Mapping[int, Tensor]) -> "TT":
        """Multiply the fibres of some modes by matrices.

        Arguments:
            matrices: for any modes k a matrix ``(m_k, n_k)``.

        Returns:
            A :class:`TT` of the same ranks with ``m_k`` in place of ``n_k``.

        Example:
            >>> import torch
            >>> TT((torch.ones(1, 3, 2), torch.ones(2, 4, 1))).mode_products({0: torch.ones(7, 3)})
            TT(shape=(7, 4), ranks=(2,), float32)
        """
        return TT(tuple(matrices[k] @ core if k in matrices else core for k, core in enumerate(self.cores)))

    # -- what it becomes -------------------------------------------------------------------------------

    def orthogonalize(self, center: int) -> "TT":
        """The same tensor with left-orthogonal cores before one mode and right-orthogonal cores after it.

        Arguments:
            center: the mode 0..d-1 whose core takes the rest; its norm is that of the tensor.

        Returns:
            A :class:`TT`; a rank beyond what its neighbors allow is lowered.

        Raises:
            OptionError: a center outside 0..d-1.

        Reference:
            Oseledets 2011, section 3; QR factorisations in float64.

        Example:
            >>> import torch
            >>> t = TT((torch.ones(1, 3, 2), torch.ones(2, 3, 1))).orthogonalize(1)
            >>> t.norm(), torch.linalg.vector_norm(t.cores[1])
            (tensor(6.), tensor(6.))
        """
        if not 0 <= center < self.order:
            raise OptionError(f"TT.orthogonalize: got center {center}; pass a mode in 0..{self.order - 1}.")
        value, exponent = self._scaled()
        cores = right_to_left(left_to_right(value.cores, center), center)
        return _placed(cores, exponent, center, self.dtype)

    def canonicalize(self) -> "TT":
        """Left-orthogonal, each inner basis made of singular vectors, strongest first, largest entry positive.

        The last core holds the norm and the sign. Equal tensors of equal ranks give equal forms up to rounding,
        as far as the singular values of each bond differ.

        Returns:
            A :class:`TT`; a rank beyond what its neighbors allow is lowered.

        Example:
            >>> import torch
            >>> t = TT((torch.ones(1, 4, 1), -torch.ones(1, 4, 1))).canonicalize()
            >>> t.cores[0].flatten(), t.cores[1].flatten()
            (tensor([0.5000, 0.5000, 0.5000, 0.5000]), tensor([-2., -2., -2., -2.]))
        """
        return self._round(None, self.ranks)

    def balance(self) -> "TT":
        """The same tensor with cores of equal norm; one of norm zero stays as it is.

        Returns:
            A :class:`TT` of the same ranks.

        Example:
            >>> import torch
            >>> t = TT((torch.full((1, 1, 1), 8.0), torch.full((1, 1, 1), 2.0))).balance()
            >>> [core.item() for core in t.cores]
            [4.0, 4.0]
        """
        value, exponent = self._scaled()
        if exponent == -torch.inf:
            return self
        norms = torch.stack([torch.linalg.vector_norm(core) for core in value.cores])
        # A whole power of two per core and the rest in the root, for a fractional one would cost digits.
        whole = (exponent / self.order).floor()
        root = (norms.prod() * torch.exp2(exponent - whole * self.order)) ** (1 / self.order)
        cores = [shifted(core * (root / norm), whole) for core, norm in zip(value.cores, norms, strict=True)]
        return TT(tuple(core.to(self.dtype) for core in cores))

    def refine(self, isometry: Tensor, modes: Sequence[int] | None = None) -> "TT":
        """The tensor on a finer grid: some modes become two each, ``x_su = sum_t x_t U_tsu``.

        What the tensor gives on coarse features, the result gives on fine ones, exactly up to rounding. A bond inside
        a pair is at most the smaller of its neighbors times the size of a fine mode.

        Arguments:
            isometry: ``(n_k, s, u)``, such as :func:`rankfold.formats.haar_isometry`.
            modes: the modes to refine; None means all.

        Returns:
            A :class:`TT` with one more mode for each refined one.

        Raises:
            ShapeError: an isometry that does not fit a mode, or modes that are none.

        Reference:
            Reyes and Stoudenmire 2020, "A multi-scale tensor network architecture for classification and regression".

        Example:
            >>> import torch
            >>> from rankfold.formats import haar_isometry
            >>> t = TT((torch.ones(1, 2, 3), torch.ones(3, 2, 1)))
            >>> fine = t.refine(haar_isometry(torch.float32))
            >>> fine.shape, torch.allclose(fine.coarsen(haar_isometry(torch.float32)).to_dense(), t.to_dense())
            ((2, 2, 2, 2), True)
        """
        return TT(tuple(refined(self.cores, isometry, checked_modes("TT.refine", modes, self.order))))

    def coarsen(self, isometry: Tensor, modes: Sequence[int] | None = None) -> "TT":
        """The tensor on a coarser grid: pairs of modes become one each, ``x_t = sum_su U_tsu x_su``.

        The projection that undoes :meth:`refine` with the same isometry.

        Arguments:
            isometry: ``(t, n_k, n_{k+1})``, with orthonormal rows as a matrix ``t x (n_k n_{k+1})``.
            modes: the first mode of each pair; None means 0, 2, 4, ...

        Returns:
            A :class:`TT` with one mode less for each pair, and two modes at least.

        Raises:
            ShapeError: an isometry that does not fit a pair, pairs that overlap, or a mode without another.

        Example:
            >>> import torch
            >>> from rankfold.formats import haar_isometry
            >>> t = TT((torch.ones(1, 2, 3), torch.ones(3, 2, 3), torch.ones(3, 5, 1)))
            >>> t.coarsen(haar_isometry(torch.float32), modes=[0]).shape
            (2, 5)
        """
        firsts = range(0, self.order, 2) if modes is None else modes
        return TT(tuple(coarsened(self.cores, isometry, checked_modes("TT.coarsen", firsts, self.order))))

    def truncate(self, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None) -> "TT":
        """TT rounding: lower ranks within an error, in canonical form.

        Arguments:
            tolerance: the result differs by at most ``tolerance * norm()``, over all bonds together.
            ranks: instead, the d-1 inner ranks, or one number for all.

        Returns:
            A :class:`TT`; the ranks are the least, or at most those asked for.

        Raises:
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a rank outside 1..r_k.
            NonFiniteError: the cores hold NaN or infinity.

        Reference:
            Oseledets 2011, algorithm 2; what a bond does not use of its share of the error passes to the later ones.

        Example:
            >>> import torch
            >>> TT((torch.ones(1, 3, 2), torch.ones(2, 3, 1))).truncate(tolerance=1e-3)
            TT(shape=(3, 3), ranks=(1,), float32)
        """
        check_one_of("TT.truncate", tolerance, ranks)
        chosen = None if ranks is None else ranks_within("TT.truncate", ranks, self.ranks)
        return self._round(_above_rounding(tolerance, self.dtype, self.shape), chosen)

    @classmethod
    def from_dense(
        cls, tensor: Tensor, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None
    ) -> "TT":
        """TT-SVD of a dense tensor, in canonical form.

        Arguments:
            tensor: order d >= 2, floating point.
            tolerance: relative Frobenius error, ``0 <= tolerance < 1``, over all bonds together.
            ranks: instead, the d-1 inner ranks, or one number for all.

        Returns:
            A :class:`TT`; the ranks are the least, or at most those asked for.

        Raises:
            ShapeError: not a floating-point tensor of order 2 or more.
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a rank outside 1..min(n_1 ... n_k, n_{k+1} ... n_d).
            NonFiniteError: the tensor holds NaN or infinity.

        Reference:
            Oseledets 2011, algorithm 1.

        Example:
            >>> import torch
            >>> TT.from_dense(torch.ones(3, 4, 5), tolerance=1e-3)
            TT(shape=(3, 4, 5), ranks=(1, 1), float32)
        """
        check_dense("TT.from_dense", tensor)
        check_one_of("TT.from_dense", tolerance, ranks)
        before = [tensor.shape[:k].numel() for k in range(1, tensor.ndim)]
        bounds = [min(size, tensor.numel() // size) for size in before]
        chosen = None if ranks is None else ranks_within("TT.from_dense", ranks, bounds)
        work, exponent = scaled(tensor.detach())
        tolerance = _above_rounding(tolerance, tensor.dtype, tensor.shape)
        cores = split_dense(work, tolerance=tolerance, ranks=chosen)
        return _placed(cores, exponent, tensor.ndim - 1, tensor.dtype)

    def to_tucker(self) -> Tucker:
        """The same tensor as Tucker, with orthonormal factors of rank ``min(n_k, r_{k-1} r_k)``.

        Returns:
            A :class:`Tucker`; its core is dense and no larger than the tensor.

        Example:
            >>> import torch
            >>> TT((torch.ones(1, 3, 1), torch.ones(1, 4, 1))).to_tucker().ranks
            (1, 1)
        """
        value, exponent = self._scaled()
        factors, small = [], []
        for core in value.cores:
            basis, triangle = torch.linalg.qr(core.movedim(1, 0).flatten(1))
            factors.append(basis.to(self.dtype))
            small.append(triangle.unflatten(1, (core.shape[0], core.shape[2])).movedim(0, 1))
        return Tucker(shifted(TT(tuple(small)).to_dense(), exponent).to(self.dtype), tuple(factors))

    # -- tensorly --------------------------------------------------------------------------------------

    def to_tensorly(self) -> list[Tensor]:
        """List of cores, as tensorly's functions on tensor trains take it.

        Returns:
            A new list that shares the cores; tensorly must run on its PyTorch backend.

        Example:
            >>> import torch
            >>> [tuple(core.shape) for core in TT((torch.ones(1, 3, 2), torch.ones(2, 4, 1))).to_tensorly()]
            [(1, 3, 2), (2, 4, 1)]
        """
        return list(self.cores)

    @classmethod
    def from_tensorly(cls, value: Any) -> "TT":
        """Take over cores from tensorly.

        Arguments:
            value: a ``TTTensor`` or a list of cores ``(r_{k-1}, n_k, r_k)``; tensors are shared, arrays copied.

        Returns:
            A :class:`TT`.

        Raises:
            ShapeError: the cores do not belong together.

        Example:
            >>> import numpy as np
            >>> TT.from_tensorly([np.ones((1, 3, 2)), np.ones((2, 4, 1))])
            TT(shape=(3, 4), ranks=(2,), float64)
        """
        return cls(tuple(as_tensor(core) for core in value))

    # -- what the formats share ------------------------------------------------------------------------

    def _rebuilt(self, tensors: Sequence[Tensor]) -> "TT":
        return TT(tuple(tensors))

    def _latent_places(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return {f"bond_{k}": ((k + 1, 0), (k, 2)) for k in range(self.order - 1)}

    def _scaled(self) -> tuple["TT", Tensor]:
        cores, exponents = [], []
        for core in self.cores:
            work, exponent = scaled(core)
            # A core of entries near 1 multiplies norms by about sqrt(r n); long trains would leave the range.
            growth = round(0.5 * log2(max(core[:, :, 0].numel(), 1)))
            cores.append(work / 2.0**growth)
            exponents.append(exponent + growth)
        return TT(tuple(cores)), torch.stack(exponents).sum()

    def _work(self) -> int:
        passed = sum(core.numel() * (core.shape[0] + core.shape[2]) for core in self.cores)
        return 2 * passed + 5 * sum(rank**3 for rank in self.ranks)

    def _blocks(self, known: bool) -> "list[Block]":
        from rankfold.formats._views import train_blocks

        value, exponent = self._scaled() if known else (self, None)
        return train_blocks(value.cores, exponent)

    def _dot(self, other: Format) -> Tensor:
        assert isinstance(other, TT)
        pairs = iter(zip(self.cores, other.cores, strict=True))
        mine, theirs = next(pairs)
        state = mine[0].mT @ theirs[0]
        for mine, theirs in pairs:
            work = torch.tensordot(state, theirs, 1)
            state = mine.flatten(0, 1).mT @ work.flatten(0, 1)
        return state[0, 0]

    def _along(self, factors: Sequence[Tensor]) -> Tensor:
        state = factors[0].mT @ self.cores[0][0]
        for core, factor in zip(self.cores[1:], factors[1:], strict=True):
            work = (state @ core.flatten(1)).unflatten(1, core.shape[1:])
            state = torch.einsum("Rnr,nR->Rr", work, factor)
        return state[:, 0]

    def _round(self, tolerance: float | None, ranks: Sequence[int] | None) -> "TT":
        value, exponent = self._scaled()
        cores = right_to_left([core.detach() for core in value.cores], 0)
        cores = truncated(cores, tolerance=tolerance, ranks=ranks)
        return _placed(cores, exponent, self.order - 1, self.dtype)


def _placed(cores: Sequence[Tensor], exponent: Tensor, center: int, dtype: torch.dtype) -> TT:
    """Cores in their own precision again, the power of two in one of them."""
    result = [shifted(core, exponent) if k == center else core for k, core in enumerate(cores)]
    return TT(tuple(core.to(dtype) for core in result))


def _above_rounding(tolerance: float | None, dtype: torch.dtype, shape: Sequence[int]) -> float | None:
    """What lies below the rounding of the stored numbers goes even at tolerance 0."""
    return None if tolerance is None else max(tolerance, 4 * torch.finfo(dtype).eps * max(shape) ** 0.5)

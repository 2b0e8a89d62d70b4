"""The TT-matrix format, or matrix product operator: rows and columns split into factors, one core for each pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.formats._checks import as_tensor, check_dense, check_one_of, check_train, ranks_within
from rankfold.formats._format import Format
from rankfold.formats._tt import TT
from rankfold.formats._tt_matrix_contract import contracted
from rankfold.formats._tt_matrix_plan import plan_contraction
from rankfold.formats._tt_matrix_sizes import check_sizes, full_bonds
from rankfold.formats._tucker import Tucker

__all__ = ["TTMatrix"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TTMatrix(Format):
    """A matrix whose rows and columns are numbered by d digits each, and whose entries are products of d matrices.

    ``W[(a_1, ..., a_d), (b_1, ..., b_d)] = G_1[a_1, b_1] ... G_d[a_d, b_d]``, the first digit the most significant. It
    is the tensor train of the tensor with modes of size ``o_k i_k``; with all ranks 1 it is a Kronecker product.

    Arguments:
        cores: per pair of factors a core ``(r_{k-1}, o_k, i_k, r_k)`` with ``r_0 = r_d = 1``, two or more, floating
            point. The matrix has ``o_1 ... o_d`` rows and ``i_1 ... i_d`` columns.

    Raises:
        ShapeError: the cores do not belong together.

    Reference:
        Oseledets 2010, "Approximation of 2^d x 2^d matrices using tensor decomposition"; Novikov et al. 2015,
        "Tensorizing neural networks".

    Example:
        >>> import torch
        >>> t = TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1)))
        >>> t.shape, t.ranks, t.num_parameters
        ((12, 8), (5,), 110)
    """

    _lead: ClassVar[int] = 2

    cores: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cores", check_train("TTMatrix", "roir", self.cores))

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the matrix."""
        return prod(self.out_sizes), prod(self.in_sizes)

    @property
    def out_sizes(self) -> tuple[int, ...]:
        """Factors o_k of the number of rows."""
        return tuple(core.shape[1] for core in self.cores)

    @property
    def in_sizes(self) -> tuple[int, ...]:
        """Factors i_k of the number of columns."""
        return tuple(core.shape[2] for core in self.cores)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The inner ranks (r_1, ..., r_{d-1})."""
        return tuple(core.shape[3] for core in self.cores[:-1])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The cores."""
        return self.cores

    def _ranks_text(self) -> str:
        return f"ranks={self.ranks}, out_sizes={self.out_sizes}, in_sizes={self.in_sizes}"

    # -- what it computes ------------------------------------------------------------------------------

    def to_dense(self) -> Tensor:
        """Multiply out, from the first core to the last; differentiable.

        Returns:
            The matrix of ``shape``.

        Example:
            >>> import torch
            >>> TTMatrix((torch.ones(1, 1, 2, 3), torch.ones(3, 1, 2, 1))).to_dense()
            tensor([[3., 3., 3., 3.]])
        """
        digits = [size for core in self.cores for size in core.shape[1:3]]
        tensor = self._train.to_dense().reshape(digits)
        count = len(digits)
        return tensor.permute(*range(0, count, 2), *range(1, count, 2)).reshape(self.shape)

    def apply(self, input: Tensor) -> Tensor:
        """Multiply vectors by the matrix, in the order of least operations; differentiable.

        Arguments:
            input: ``(..., I)``, of this value's dtype and device; its last axis has as many entries as the matrix has
                columns.

        Returns:
            ``(..., O)``, what ``input @ to_dense().mT`` gives.

        Raises:
            ShapeError: another last axis, dtype or device.

        Example:
            >>> import torch
            >>> t = TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1)))
            >>> t.apply(torch.ones(7, 8)).shape
            torch.Size([7, 12])
        """
        columns = self.shape[1]
        if input.shape[-1:] != (columns,) or (input.dtype, input.device) != (self.dtype, self.device):
            raise ShapeError(
                f"TTMatrix.apply: got a {input.dtype} tensor of shape {tuple(input.shape)} on {input.device}; pass "
                f"one of shape (..., {columns}) in {self.dtype} on {self.device}."
            )
        rows = input.reshape(-1, columns)
        plan = plan_contraction(
            self.out_sizes, self.in_sizes, self.ranks, len(rows), element_size=self.dtype.itemsize
        )
        return contracted(self.cores, rows, plan).reshape(*input.shape[:-1], self.shape[0])

    def mode_products(self, matrices: Mapping[int, Tensor]) -> "TTMatrix":
        """Multiply from the left and from the right by matrices; no factors are left of what is multiplied.

        Arguments:
            matrices: for mode 0 a matrix ``(m, O)``, for mode 1 a matrix ``(n, I)``, or for one of them only.

        Returns:
            A :class:`TTMatrix` with the dense product, ``(m, I)``, ``(O, n)`` or ``(m, n)``, in its first core; where
            no matrix is given, this value.

        Example:
            >>> import torch
            >>> t = TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1)))
            >>> t.mode_products({0: torch.ones(7, 12), 1: torch.ones(2, 8)}).shape
            (7, 2)
        """
        left, right = matrices.get(0), matrices.get(1)
        if right is not None:
            product = self.apply(right).mT
            product = product if left is None else left @ product
        elif left is not None:
            product = self.transpose().apply(left)
        else:
            return self
        return TTMatrix((product[None, :, :, None], product.new_ones(1, 1, 1, 1)))

    # -- what it becomes -------------------------------------------------------------------------------

    def transpose(self) -> "TTMatrix":
        """The transposed matrix.

        Returns:
            A :class:`TTMatrix` that shares the cores.

        Example:
            >>> import torch
            >>> TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1))).transpose().shape
            (8, 12)
        """
        return TTMatrix(tuple(core.transpose(1, 2) for core in self.cores))

    def canonicalize(self) -> "TTMatrix":
        """Left-orthogonal, each inner basis made of singular vectors, strongest first, largest entry positive.

        The last core holds the norm and the sign; equal matrices of equal sizes and ranks give equal forms up to
        rounding, as far as the singular values of each bond differ.

        Returns:
            A :class:`TTMatrix`; a rank beyond what its neighbors allow is lowered.

        Example:
            >>> import torch
            >>> t = TTMatrix((-torch.ones(1, 2, 2, 1), torch.ones(1, 1, 1, 1))).canonicalize()
            >>> t.cores[0].flatten().tolist(), t.cores[1].flatten()
            ([0.5, 0.5, 0.5, 0.5], tensor([-2.]))
        """
        return self._like(self._train.canonicalize())

    def balance(self) -> "TTMatrix":
        """The same matrix with cores of equal norm; one of norm zero stays as it is.

        Returns:
            A :class:`TTMatrix` of the same ranks.

        Example:
            >>> import torch
            >>> t = TTMatrix((torch.full((1, 1, 1, 1), 8.0), torch.full((1, 1, 1, 1), 2.0))).balance()
            >>> [core.item() for core in t.cores]
            [4.0, 4.0]
        """
        return self._like(self._train.balance())

    def truncate(
        self, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None
    ) -> "TTMatrix":
        """TT rounding: lower ranks within an error, in canonical form.

        Arguments:
            tolerance: the result differs by at most ``tolerance * norm()``, over all bonds together.
            ranks: instead, the d-1 inner ranks, or one number for all.

        Returns:
            A :class:`TTMatrix`; the ranks are the least, or at most those asked for.

        Raises:
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a rank outside 1..r_k.
            NonFiniteError: the cores hold NaN or infinity.

        Reference:
            Oseledets 2011, algorithm 2.

        Example:
            >>> import torch
            >>> TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1))).truncate(tolerance=1e-3).ranks
            (1,)
        """
        check_one_of("TTMatrix.truncate", tolerance, ranks)
        chosen = None if ranks is None else ranks_within("TTMatrix.truncate", ranks, self.ranks)
        return self._like(self._train.truncate(tolerance=tolerance, ranks=chosen))

    @classmethod
    def from_dense(
        cls,
        matrix: Tensor,
        out_sizes: Sequence[int],
        in_sizes: Sequence[int],
        *,
        tolerance: float | None = None,
        ranks: int | Sequence[int] | None = None,
    ) -> "TTMatrix":
        """TT-SVD of a dense matrix, in canonical form.

        Arguments:
            matrix: ``(O, I)``, floating point.
            out_sizes: factors o_k whose product is O, two or more; :func:`rankfold.formats.plan_modes` finds some.
            in_sizes: as many factors i_k whose product is I.
            tolerance: relative Frobenius error, ``0 <= tolerance < 1``, over all bonds together.
            ranks: instead, the d-1 inner ranks, or one number for all.

        Returns:
            A :class:`TTMatrix`; the ranks are the least, or at most those asked for. At those of
            :func:`rankfold.formats.full_bonds` it is exact.

        Raises:
            ShapeError: no floating-point matrix, or sizes that are not its own.
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a rank above the full bond, or below 1.
            NonFiniteError: the matrix holds NaN or infinity.

        Reference:
            Oseledets 2010, "Approximation of 2^d x 2^d matrices using tensor decomposition".

        Example:
            >>> import torch
            >>> TTMatrix.from_dense(torch.ones(12, 8), (3, 4), (2, 4), tolerance=1e-3)
            TTMatrix(shape=(12, 8), ranks=(1,), out_sizes=(3, 4), in_sizes=(2, 4), float32)
        """
        check_dense("TTMatrix.from_dense", matrix)
        out, inner = check_sizes("TTMatrix.from_dense", out_sizes, in_sizes)
        if matrix.shape != (prod(out), prod(inner)):
            raise ShapeError(
                f"TTMatrix.from_dense: got a tensor of shape {tuple(matrix.shape)} for {'x'.join(map(str, out))} rows "
                f"and {'x'.join(map(str, inner))} columns; pass factors of its sizes, such as those of plan_modes."
            )
        check_one_of("TTMatrix.from_dense", tolerance, ranks)
        if ranks is not None:
            ranks = ranks_within("TTMatrix.from_dense", ranks, full_bonds(out, inner))
        count = len(out)
        order = [axis for k in range(count) for axis in (k, count + k)]
        tensor = matrix.reshape(*out, *inner).permute(order)
        tensor = tensor.reshape([o * i for o, i in zip(out, inner, strict=True)])
        train = TT.from_dense(tensor, tolerance=tolerance, ranks=ranks)
        return cls(
            tuple(core.unflatten(1, pair) for core, *pair in zip(train.cores, out, inner, strict=True))
        )

    def to_tucker(self) -> Tucker:
        """The same matrix as Tucker. In general it has full matrix rank, so no mode gets a factor.

        Returns:
            A :class:`Tucker` whose core is the dense matrix.

        Example:
            >>> import torch
            >>> TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1))).to_tucker()
            Tucker(shape=(12, 8), ranks=(12, 8), float32)
        """
        return Tucker(self.to_dense(), (None, None))

    # -- tensorly --------------------------------------------------------------------------------------

    def to_tensorly(self) -> list[Tensor]:
        """List of cores, as tensorly's functions on TT-matrices take it.

        Returns:
            A new list that shares the cores; tensorly must run on its PyTorch backend.

        Example:
            >>> import torch
            >>> t = TTMatrix((torch.ones(1, 3, 2, 5), torch.ones(5, 4, 4, 1)))
            >>> [tuple(core.shape) for core in t.to_tensorly()]
            [(1, 3, 2, 5), (5, 4, 4, 1)]
        """
        return list(self.cores)

    @classmethod
    def from_tensorly(cls, value: Any) -> "TTMatrix":
        """Take over cores from tensorly.

        Arguments:
            value: a ``TTMatrix`` of tensorly or a list of cores ``(r_{k-1}, o_k, i_k, r_k)``; tensors are shared,
                arrays copied.

        Returns:
            A :class:`TTMatrix`.

        Raises:
            ShapeError: the cores do not belong together.

        Example:
            >>> import numpy as np
            >>> TTMatrix.from_tensorly([np.ones((1, 3, 2, 5)), np.ones((5, 4, 4, 1))]).shape
            (12, 8)
        """
        return cls(tuple(as_tensor(core) for core in value))

    # -- what the formats share ------------------------------------------------------------------------

    @property
    def _train(self) -> TT:
        """The tensor train with modes of size ``o_k i_k``."""
        return TT(tuple(core.flatten(1, 2) for core in self.cores))

    def _like(self, train: TT) -> "TTMatrix":
        """A train of the same modes as a matrix of the same sizes."""
        return TTMatrix(
            tuple(
                core.unflatten(1, own.shape[1:3]) for core, own in zip(train.cores, self.cores, strict=True)
            )
        )

    def _latent_places(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return {f"bond_{k}": ((k + 1, 0), (k, 3)) for k in range(len(self.cores) - 1)}

    def _rebuilt(self, tensors: Sequence[Tensor]) -> "TTMatrix":
        return TTMatrix(tuple(tensors))

    def _scaled(self) -> tuple["TTMatrix", Tensor]:
        train, exponent = self._train._scaled()
        return self._like(train), exponent

    def _dot(self, other: Format) -> Tensor:
        if isinstance(other, TT):
            first, second = other.cores
            return (first[0] * self.apply(second[:, :, 0]).mT).sum()
        assert isinstance(other, TTMatrix)
        if (self.out_sizes, self.in_sizes) != (other.out_sizes, other.in_sizes):
            raise ShapeError(
                f"inner: got {self!r} and {other!r}; TT-matrices must be split into the same sizes: make one of them "
                "anew with TTMatrix.from_dense."
            )
        return self._train._dot(other._train)

    def _along(self, factors: Sequence[Tensor]) -> Tensor:
        left, right = factors
        return (left * self.apply(right.mT).mT).sum(0)

"""The CP format: a sum of outer products, ``sum_r w_r a_r^(1) o ... o a_r^(d)``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, ShapeError
from rankfold.formats._checks import as_tensor, check_one_of, check_permutation, ranks_within
from rankfold.formats._cp_eliminate import component_root, eliminate
from rankfold.formats._cp_forms import balanced, canonical_order, positive_columns, unit_columns
from rankfold.formats._format import Format
from rankfold.formats._outer import balanced_outer
from rankfold.formats._scale import scaled, shifted
from rankfold.formats._tucker import Tucker

__all__ = ["CP"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CP(Format):
    """A tensor written as a weighted sum of outer products of vectors.

    Arguments:
        weights: ``(R,)``, floating point.
        factors: per mode a matrix ``(n_i, R)``, two or more.

    Raises:
        ShapeError: weights and factors do not belong together.

    Reference:
        Kolda and Bader 2009, "Tensor decompositions and applications", section 3.

    Example:
        >>> import torch
        >>> t = CP(torch.tensor([2.0]), (torch.ones(3, 1), torch.ones(4, 1)))
        >>> t.shape, t.rank
        ((3, 4), 1)
    """

    _lead: ClassVar[int] = 1

    weights: Tensor
    factors: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        weights, factors = self.weights, self.factors
        if weights.ndim != 1 or len(factors) < 2 or not weights.is_floating_point():
            raise ShapeError(
                f"CP: got {weights.dtype} weights of shape {tuple(weights.shape)} with {len(factors)} factors; "
                "pass floating-point weights of shape (R,) and two or more factors (n, R)."
            )
        for mode, factor in enumerate(factors):
            if factor.ndim != 2 or factor.shape[1] != weights.shape[0]:
                raise ShapeError(
                    f"CP: the factor of mode {mode} has shape {tuple(factor.shape)}; with {weights.shape[0]} "
                    f"weights it must be (n, {weights.shape[0]})."
                )
            if factor.dtype != weights.dtype or factor.device != weights.device:
                raise ShapeError(
                    f"CP: the factor of mode {mode} is {factor.dtype} on {factor.device}, the weights "
                    f"{weights.dtype} on {weights.device}; bring them to one dtype and device with .to()."
                )

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """Number of components R."""
        return self.weights.shape[0]

    @property
    def ranks(self) -> tuple[int, ...]:
        """``(R,)``: a CP tensor has one rank, not one per mode."""
        return (self.rank,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d) of the tensor."""
        return tuple(factor.shape[0] for factor in self.factors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The weights, then the factors."""
        return (self.weights, *self.factors)

    def _ranks_text(self) -> str:
        return f"rank={self.rank}"

    # -- what it computes ------------------------------------------------------------------------------

    def to_dense(self) -> Tensor:
        """Multiply out; differentiable.

        Returns:
            The tensor of ``shape``.

        Example:
            >>> import torch
            >>> CP(torch.tensor([2.0]), (torch.ones(1, 1), torch.ones(2, 1))).to_dense()
            tensor([[2., 2.]])
        """
        return balanced_outer(self.factors, self.weights)

    def mode_products(self, matrices: Mapping[int, Tensor]) -> "CP":
        """Multiply the fibres of some modes by matrices.

        Arguments:
            matrices: for any modes i a matrix ``(m_i, n_i)``.

        Returns:
            A :class:`CP` of the same rank with ``m_i`` in place of ``n_i``.

        Example:
            >>> import torch
            >>> CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1))).mode_products({0: torch.ones(7, 3)})
            CP(shape=(7, 4), rank=1, float32)
        """
        return CP(
            self.weights,
            tuple(matrices[i] @ factor if i in matrices else factor for i, factor in enumerate(self.factors)),
        )

    # -- what it becomes -------------------------------------------------------------------------------

    def normalize(self) -> "CP":
        """The same components with columns of norm 1 and weights >= 0; signs go to the first mode.

        Returns:
            A :class:`CP` of the same rank and order of components; one of norm zero keeps its place with weight 0.

        Example:
            >>> import torch
            >>> CP(torch.tensor([-2.0]), (torch.ones(4, 1), torch.ones(9, 1))).normalize().weights
            tensor([12.])
        """
        mantissa, exponent, units = unit_columns(self.weights, self.factors)
        return self._cast(shifted(mantissa, exponent), units)

    def balance(self) -> "CP":
        """The same components with weights 1 and columns of equal norm in all modes; signs go to the first mode.

        Returns:
            A :class:`CP` of the same rank and order of components.

        Example:
            >>> import torch
            >>> CP(torch.tensor([9.0]), (torch.ones(1, 1), torch.ones(1, 1))).balance().factors[0]
            tensor([[3.]])
        """
        mantissa, exponent, units = unit_columns(self.weights, self.factors)
        return self._cast(torch.ones_like(mantissa), balanced(mantissa, exponent, units))

    def canonicalize(self) -> "CP":
        """Normalised, largest weight first, the largest entry of each column positive in all modes but the first.

        Weights stay >= 0: the first mode carries the sign. Equal sums of components give equal forms up to
        rounding, in whatever order, scale and signs they were stored; equal weights are put in the order of their
        columns' entries, and components of norm zero become products of first unit vectors.

        Returns:
            A :class:`CP` of the same rank.

        Example:
            >>> import torch
            >>> t = CP(torch.tensor([1.0, -3.0]), (torch.ones(1, 2), -torch.ones(1, 2))).canonicalize()
            >>> t.weights, t.factors
            (tensor([3., 1.]), (tensor([[ 1., -1.]]), tensor([[1., 1.]])))
        """
        mantissa, exponent, units = unit_columns(*_detached(self))
        columns = positive_columns(units, mantissa, self.dtype)
        comparable = mantissa * torch.exp2(exponent - _largest(exponent))
        order = canonical_order(comparable, columns, self.dtype)
        return self._cast(shifted(mantissa, exponent)[order], [column[:, order] for column in columns])

    def truncate(self, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None) -> "CP":
        """Fewer components: the one whose loss costs least goes first, and the weights of the others are refitted.

        Neither small weights nor small angles decide, but what is lost: one of two nearly parallel components is
        cheap, a small one that stands alone may not be.

        Arguments:
            tolerance: the result differs by at most ``tolerance * norm()``.
            ranks: instead, the number of components.

        Returns:
            A normalised :class:`CP`; the columns are those of the components kept.

        Raises:
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a number of components outside 1..R.
            NonFiniteError: weights or factors hold NaN or infinity.

        Reference:
            Hassibi and Stork 1993, "Second order derivatives for network pruning: Optimal Brain Surgeon",
            equation 5; R QR factorisations of R x R matrices, in float64.

        Example:
            >>> import torch
            >>> twice = CP(torch.tensor([1.0, 2.0]), (torch.ones(3, 2), torch.ones(4, 2)))
            >>> once = twice.truncate(tolerance=1e-3)
            >>> once.rank, torch.allclose(once.to_dense(), twice.to_dense())
            (1, True)
        """
        check_one_of("CP.truncate", tolerance, ranks)
        count = 1 if ranks is None else ranks_within("CP.truncate", ranks, (self.rank,))[0]
        if not all(bool(tensor.isfinite().all()) for tensor in self.tensors):
            raise NonFiniteError("CP.truncate: weights or factors hold NaN or infinity; all must be finite.")
        mantissa, exponent, units = unit_columns(*_detached(self))
        largest = _largest(exponent)
        if tolerance is not None:
            # What lies below the rounding of the stored numbers goes even at tolerance 0.
            tolerance = max(tolerance, 4 * torch.finfo(self.dtype).eps * max(*self.shape, self.rank) ** 0.5)
        root = component_root(units).cpu()
        comparable = (mantissa * torch.exp2(exponent - largest)).cpu()
        kept, weights = eliminate(root, comparable, count=count, tolerance=tolerance)
        signs = torch.where(weights < 0, -1.0, 1.0).to(weights)
        columns = [unit[:, kept] for unit in units]
        columns[0] = columns[0] * signs.to(self.device)
        return self._cast(shifted((weights * signs).to(self.device), largest), columns)

    def permute(self, modes: Sequence[int]) -> "CP":
        """The tensor with its modes in another order, as :meth:`torch.Tensor.permute`.

        Arguments:
            modes: all modes 0..d-1, each once.

        Returns:
            A :class:`CP` that shares the factors.

        Raises:
            ShapeError: other modes.

        Example:
            >>> import torch
            >>> CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1))).permute((1, 0)).shape
            (4, 3)
        """
        check_permutation("CP.permute", modes, self.order)
        return CP(self.weights, tuple(self.factors[mode] for mode in modes))

    def to_tucker(self) -> Tucker:
        """The same tensor as Tucker, with orthonormal factors of rank ``min(n_i, R)``.

        Returns:
            A :class:`Tucker`; its core is dense and no larger than the tensor.

        Example:
            >>> import torch
            >>> CP(torch.ones(2), (torch.ones(3, 2), torch.ones(4, 2))).to_tucker().ranks
            (2, 2)
        """
        value, exponent = self._scaled()
        bases, triangles = zip(*(torch.linalg.qr(factor) for factor in value.factors), strict=True)
        core = shifted(balanced_outer(triangles, value.weights), exponent)
        return Tucker(core.to(self.dtype), tuple(basis.to(self.dtype) for basis in bases))

    # -- tensorly --------------------------------------------------------------------------------------

    def to_tensorly(self) -> tuple[Tensor, list[Tensor]]:
        """Weights and list of factors, as tensorly's functions on CP tensors take them.

        Returns:
            A new tuple that shares the tensors; tensorly must run on its PyTorch backend.

        Example:
            >>> import torch
            >>> weights, factors = CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1))).to_tensorly()
            >>> len(factors)
            2
        """
        return self.weights, list(self.factors)

    @classmethod
    def from_tensorly(cls, value: Any) -> "CP":
        """Take over weights and factors from tensorly.

        Arguments:
            value: a ``CPTensor`` or a pair of weights ``(R,)`` (None for ones) and factors ``(n_i, R)``; tensors
                are shared, arrays copied.

        Returns:
            A :class:`CP`.

        Raises:
            ShapeError: weights and factors do not belong together.

        Example:
            >>> import numpy as np
            >>> CP.from_tensorly((None, [np.ones((3, 2)), np.ones((4, 2))]))
            CP(shape=(3, 4), rank=2, float64)
        """
        weights, given = value
        factors = tuple(as_tensor(factor) for factor in given)
        return cls(
            factors[0].new_ones(factors[0].shape[-1]) if weights is None else as_tensor(weights), factors
        )

    # -- what the formats share ------------------------------------------------------------------------

    def _rebuilt(self, tensors: Sequence[Tensor]) -> "CP":
        return CP(tensors[0], tuple(tensors[1:]))

    def _latent_places(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return {"component": ((0, 0), *((number, 1) for number in range(1, self.order + 1)))}

    def _cast(self, weights: Tensor, factors: Sequence[Tensor]) -> "CP":
        return CP(weights.to(self.dtype), tuple(factor.to(self.dtype) for factor in factors))

    def _scaled(self) -> tuple["CP", Tensor]:
        row, exponent = scaled(self.weights.unsqueeze(0), columns=True)
        factors = []
        for factor in self.factors:
            work, shift = scaled(factor, columns=True)
            factors.append(work)
            exponent = exponent + shift
        largest = _largest(exponent)
        return CP(row[0] * torch.exp2(exponent - largest), tuple(factors)), largest

    def _dot(self, other: Format) -> Tensor:
        return self.weights @ other._along(self.factors)

    def _along(self, factors: Sequence[Tensor]) -> Tensor:
        grams = factors[0].mT @ self.factors[0]
        for mine, theirs in zip(self.factors[1:], factors[1:], strict=True):
            grams = grams * (theirs.mT @ mine)
        return grams @ self.weights


def _detached(value: CP) -> tuple[Tensor, tuple[Tensor, ...]]:
    return value.weights.detach(), tuple(factor.detach() for factor in value.factors)


def _largest(exponent: Tensor) -> Tensor:
    """The exponent of the largest component, 0 where all are zero or there is none."""
    if exponent.numel() == 0:
        return exponent.new_zeros(())
    largest = exponent.amax()
    return torch.where(largest.isfinite(), largest, 0.0)

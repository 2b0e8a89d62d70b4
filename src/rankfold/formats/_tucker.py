"""The Tucker format.

W = C x_1 U_1 ... x_d U_d with factors U_i (n_i x r_i) and core C (r_1 x ... x r_d). A mode without a factor
(None) has the identity there, and its core dimension is n_i.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.formats._checks import as_tensor, check_dense, check_one_of, check_permutation
from rankfold.formats._format import Format
from rankfold.formats._scale import scaled
from rankfold.formats._shapes import checked_modes, checked_ranks
from rankfold.formats._signs import sign_of_largest
from rankfold.formats._truncation import truncate_cores
from rankfold.linalg import (
    augment,
    mode_product,
    orthonormality_defect,
    orthonormalize,
    sequential_hosvd,
    spectrum_dtype,
    truncated_hosvd,
    unfold,
)

__all__ = ["Tucker"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tucker(Format):
    """A tensor written as a core times one factor per mode; of order 2 it is the matrix U S Vᵀ.

    Arguments:
        core: ``(r_1, ..., r_d)``, d >= 2, floating point.
        factors: per mode a matrix ``(n_i, r_i)``, or None for a mode that is not factorised.

    Raises:
        ShapeError: core and factors do not belong together.

    Reference:
        Tucker 1966, "Some mathematical notes on three-mode factor analysis"; Kolda and Bader 2009, section 4.

    Example:
        >>> import torch
        >>> x = torch.ones(4, 5, 6)
        >>> t = Tucker.from_dense(x, tolerance=1e-3)
        >>> t.shape, t.ranks, t.num_parameters
        ((4, 5, 6), (1, 1, 1), 16)
        >>> torch.allclose(t.to_dense(), x)
        True
    """

    _lead: ClassVar[int] = 0

    core: Tensor
    factors: tuple[Tensor | None, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        core, factors = self.core, self.factors
        if core.ndim < 2 or len(factors) != core.ndim or not core.is_floating_point():
            raise ShapeError(
                f"Tucker: got a {core.dtype} core of shape {tuple(core.shape)} with {len(factors)} factors; "
                "pass a floating-point core of order 2 or more and one factor (or None) per mode."
            )
        for mode, factor in enumerate(factors):
            if factor is not None and (factor.ndim != 2 or factor.shape[1] != core.shape[mode]):
                raise ShapeError(
                    f"Tucker: the factor of mode {mode} has shape {tuple(factor.shape)}, the core "
                    f"{tuple(core.shape)}; the factor must be (n, {core.shape[mode]})."
                )
            if factor is not None and (factor.dtype != core.dtype or factor.device != core.device):
                raise ShapeError(
                    f"Tucker: the factor of mode {mode} is {factor.dtype} on {factor.device}, the core "
                    f"{core.dtype} on {core.device}; bring them to one dtype and device with .to()."
                )

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def modes(self) -> tuple[int, ...]:
        """The modes that have a factor."""
        return tuple(mode for mode, factor in enumerate(self.factors) if factor is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d) of the tensor."""
        pairs = zip(self.factors, self.core.shape, strict=True)
        return tuple(size if factor is None else factor.shape[0] for factor, size in pairs)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Core dimension of every mode; n_i where mode i is not factorised."""
        return tuple(self.core.shape)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The core, then the factors that there are."""
        return (self.core, *(factor for factor in self.factors if factor is not None))

    # -- what it computes ------------------------------------------------------------------------------

    def to_dense(self) -> Tensor:
        """Multiply out, smallest growth first; differentiable.

        Returns:
            The tensor of ``shape``.
        """
        result = self.core
        for mode in sorted(self.modes, key=lambda mode: self.shape[mode] / max(self.ranks[mode], 1)):
            factor = self.factors[mode]
            assert factor is not None
            result = mode_product(result, factor, mode)
        return result

    def mode_products(self, matrices: Mapping[int, Tensor]) -> "Tucker":
        """Multiply the fibres of some modes by matrices.

        Arguments:
            matrices: for any modes i a matrix ``(m_i, n_i)``.

        Returns:
            A :class:`Tucker` of the same ranks with ``m_i`` in place of ``n_i``.

        Example:
            >>> import torch
            >>> Tucker(torch.ones(2, 4), (torch.ones(3, 2), None)).mode_products({0: torch.ones(7, 3)})
            Tucker(shape=(7, 4), ranks=(2, 4), float32)
        """
        factors = list(self.factors)
        for mode, matrix in matrices.items():
            factor = factors[mode]
            factors[mode] = matrix if factor is None else matrix @ factor
        return Tucker(self.core, tuple(factors))

    def orthonormality_defect(self) -> Tensor:
        """Largest ``|U_iᵀ U_i - I|`` over the modes, a scalar float64 tensor."""
        defects = [orthonormality_defect(factor.detach()) for factor in self.factors if factor is not None]
        return torch.stack(defects).amax() if defects else torch.zeros((), dtype=torch.float64)

    def is_rotated(self) -> bool:
        """Whether the core is all-orthogonal: in every factorised mode its slices are orthogonal to each other.

        Returns:
            True if no two slices have a cosine above 1e-3, far from where basis gradients begin to lose digits.
        """
        core = self.core.detach().to(spectrum_dtype(self.core))
        # Rows beyond the numerical rank are what rounding left of zero, and point anywhere.
        noise = 4 * sum(core.shape) * torch.finfo(core.dtype).eps * torch.linalg.vector_norm(core)
        largest = [torch.zeros_like(noise)]
        for mode in self.modes:
            rows = unfold(core, mode)
            length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
            rows = torch.where(length > noise, rows / length, 0.0)
            largest.append((rows @ rows.mT).fill_diagonal_(0).abs().amax())
        return bool(torch.stack(largest).amax() < 1e-3)

    # -- what it becomes -------------------------------------------------------------------------------

    def orthonormalize(self) -> "Tucker":
        """The same tensor with orthonormal factors; what was in them moves to the core.

        Returns:
            A :class:`Tucker` whose norm is that of its core; a rank above n_i is lowered to n_i.
        """
        core, factors = self.core, list(self.factors)
        for mode in self.modes:
            factor = factors[mode]
            assert factor is not None
            if factor.shape[1] > factor.shape[0]:
                identity = torch.eye(factor.shape[0], dtype=factor.dtype, device=factor.device)
                core, factors[mode] = mode_product(core, factor, mode), identity
                continue
            basis = orthonormalize(factor)
            core, factors[mode] = mode_product(core, basis.mT @ factor, mode), basis
        return Tucker(core.contiguous(), tuple(factors))

    def rotate(self) -> "Tucker":
        """The same tensor in HOSVD form: orthonormal factors and an all-orthogonal core, strongest rows first.

        Returns:
            A :class:`Tucker` of the same ranks. In this form the basis gradients keep full precision
            however small the singular values of the core are.
        """
        basis = self.orthonormalize()
        (result,) = truncated_hosvd([basis.core], [basis.modes])
        return basis.project(result.core, result.bases)

    def truncate(
        self, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None
    ) -> "Tucker":
        """The nearest-by-HOSVD tensor of lower rank, in HOSVD form.

        Arguments:
            tolerance: the result differs by at most ``tolerance * norm()``, over all modes together.
            ranks: instead, one rank per factorised mode, or one number for all.

        Returns:
            A :class:`Tucker` with orthonormal factors.

        Raises:
            OptionError: not exactly one of tolerance and ranks, or a tolerance outside [0, 1).
            RankError: a rank outside 1..r_i.
        """
        check_one_of("Tucker.truncate", tolerance, ranks)
        chosen = None
        if ranks is not None:
            chosen = [checked_ranks("Tucker.truncate", ranks, self.ranks, self.modes)]
        basis = self.orthonormalize()
        (result,) = truncate_cores([basis.core], [basis.modes], tolerance=tolerance, ranks=chosen)
        return basis.project(result.core, result.bases)

    def canonicalize(self) -> "Tucker":
        """HOSVD form in which the largest entry of each column of the factors is positive.

        The core holds the norm and the signs. Equal tensors of equal ranks give equal forms up to rounding, as far
        as the singular values of each mode differ.

        Returns:
            A :class:`Tucker`; a rank above n_i is lowered to n_i.

        Example:
            >>> import torch
            >>> t = Tucker(torch.ones(1, 1), (-torch.ones(4, 1), torch.ones(4, 1))).canonicalize()
            >>> t.core.round(), t.factors[0].flatten()
            (tensor([[-4.]]), tensor([0.5000, 0.5000, 0.5000, 0.5000]))
        """
        turned = self.rotate()
        core, factors = turned.core, list(turned.factors)
        for mode in turned.modes:
            factor = factors[mode]
            assert factor is not None
            sign = sign_of_largest(factor, self.dtype)
            factors[mode] = factor * sign
            core = core * sign.view([-1 if axis == mode else 1 for axis in range(core.ndim)])
        return Tucker(core, tuple(factors))

    def to_tucker(self) -> "Tucker":
        """The same tensor with orthonormal factors, as the other formats give it: :meth:`orthonormalize`.

        Example:
            >>> import torch
            >>> Tucker(torch.ones(2, 2), (torch.ones(3, 2), None)).to_tucker()
            Tucker(shape=(3, 2), ranks=(2, 2), float32)
        """
        return self.orthonormalize()

    def permute(self, modes: Sequence[int]) -> "Tucker":
        """The tensor with its modes in another order, as :meth:`torch.Tensor.permute`.

        Arguments:
            modes: all modes 0..d-1, each once.

        Returns:
            A :class:`Tucker` that shares core and factors.

        Raises:
            ShapeError: other modes.

        Example:
            >>> import torch
            >>> Tucker(torch.ones(2, 3), (None, torch.ones(4, 3))).permute((1, 0)).shape
            (4, 2)
        """
        check_permutation("Tucker.permute", modes, self.order)
        return Tucker(self.core.permute(*modes), tuple(self.factors[mode] for mode in modes))

    def augment(self, directions: Mapping[int, Tensor], *, max_new: int | None = None) -> "Tucker":
        """The same tensor with wider bases: factors ``[U_i | Ũ_i]`` and a core padded with zeros.

        Arguments:
            directions: for any factorised modes, a matrix ``(n_i, k)`` whose span the basis shall include.
            max_new: the largest number of columns to add to a mode; the dominant directions are kept.

        Returns:
            A :class:`Tucker` that holds the old factors and core bit for bit.

        Raises:
            ShapeError: directions of a mode without factor, or with the wrong number of rows.
        """
        unknown = [mode for mode in directions if mode not in self.modes]
        if unknown:
            raise ShapeError(f"Tucker.augment: modes {unknown} have no factor; factorised are {self.modes}.")
        modes = list(directions)
        wider = augment(
            [factor for mode in modes if (factor := self.factors[mode]) is not None],
            [directions[mode] for mode in modes],
            max_new=[max_new] * len(modes),
        )
        return self.widened(dict(zip(modes, wider, strict=True)))

    def widened(self, factors: Mapping[int, Tensor]) -> "Tucker":
        """Replace factors by wider ones whose first r_i columns are the old ones; the core is zero-padded."""
        return Tucker(
            pad_core(self.core, {mode: factor.shape[1] for mode, factor in factors.items()}),
            tuple(factors.get(mode, factor) for mode, factor in enumerate(self.factors)),
        )

    def project(self, core: Tensor, bases: Mapping[int, Tensor]) -> "Tucker":
        """Combine this tensor's factors with an inner Tucker form ``core x_i P_i`` of its core: U_i P_i."""
        factors = list(self.factors)
        for mode, basis in bases.items():
            factor = factors[mode]
            assert factor is not None
            factors[mode] = factor @ basis
        return Tucker(core, tuple(factors))

    @classmethod
    def from_dense(
        cls,
        tensor: Tensor,
        *,
        tolerance: float | None = None,
        ranks: int | Sequence[int] | None = None,
        modes: Sequence[int] | None = None,
    ) -> "Tucker":
        """Sequentially truncated HOSVD of a dense tensor.

        Arguments:
            tensor: order d >= 2, floating point.
            tolerance: relative Frobenius error, ``0 <= tolerance < 1``, over all modes together.
            ranks: instead, one rank per mode of ``modes``, or one number for all.
            modes: the modes to factorise; None means all.

        Returns:
            A :class:`Tucker` with orthonormal factors.

        Raises:
            ShapeError: not a floating-point tensor of order 2 or more.
            OptionError: not exactly one of tolerance and ranks.
            RankError: a rank outside 1..n_i.
            NonFiniteError: the tensor holds NaN or infinity.

        Reference:
            Vannieuwenhoven, Vandebril, Meerbergen 2012, algorithm 1.
        """
        check_dense("Tucker.from_dense", tensor)
        check_one_of("Tucker.from_dense", tolerance, ranks)
        chosen = checked_modes("Tucker.from_dense", modes, tensor.ndim)
        checked = None if ranks is None else checked_ranks("Tucker.from_dense", ranks, tensor.shape, chosen)
        result = sequential_hosvd(tensor, chosen, tolerance=tolerance, ranks=checked)
        factors = tuple(result.bases.get(mode) for mode in range(tensor.ndim))
        return cls(result.core.contiguous(), factors)

    # -- tensorly --------------------------------------------------------------------------------------

    def to_tensorly(self) -> tuple[Tensor, list[Tensor]]:
        """Core and list of factors, as tensorly's functions on Tucker tensors take them.

        Returns:
            A new tuple that shares the tensors, with identities for the modes without a factor; tensorly must run
            on its PyTorch backend.

        Example:
            >>> import torch
            >>> core, factors = Tucker(torch.ones(2, 4), (torch.ones(3, 2), None)).to_tensorly()
            >>> [tuple(factor.shape) for factor in factors]
            [(3, 2), (4, 4)]
        """
        pairs = zip(self.factors, self.core.shape, strict=True)
        kind = {"dtype": self.dtype, "device": self.device}
        return self.core, [torch.eye(size, **kind) if factor is None else factor for factor, size in pairs]

    @classmethod
    def from_tensorly(cls, value: Any) -> "Tucker":
        """Take over core and factors from tensorly.

        Arguments:
            value: a ``TuckerTensor`` or a pair of core ``(r_1, ..., r_d)`` and factors ``(n_i, r_i)``; tensors are
                shared, arrays copied.

        Returns:
            A :class:`Tucker`.

        Raises:
            ShapeError: core and factors do not belong together.

        Example:
            >>> import numpy as np
            >>> Tucker.from_tensorly((np.ones((2, 2)), [np.ones((3, 2)), np.ones((4, 2))]))
            Tucker(shape=(3, 4), ranks=(2, 2), float64)
        """
        core, factors = value
        return cls(as_tensor(core), tuple(as_tensor(factor) for factor in factors))

    # -- what the formats share ------------------------------------------------------------------------

    def _rebuilt(self, tensors: Sequence[Tensor]) -> "Tucker":
        core, *rest = tensors
        given = iter(rest)
        return Tucker(core, tuple(None if factor is None else next(given) for factor in self.factors))

    def _latent_places(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return {f"mode_{mode}": ((0, mode), (number, 1)) for number, mode in enumerate(self.modes, start=1)}

    def _scaled(self) -> tuple["Tucker", Tensor]:
        pairs = [scaled(tensor) for tensor in self.tensors]
        exponent = torch.stack([exponent for _, exponent in pairs]).sum()
        return self._rebuilt([tensor for tensor, _ in pairs]), exponent

    def _dot(self, other: Format) -> Tensor:
        matrices = {mode: factor.mT for mode, factor in enumerate(self.factors) if factor is not None}
        return (self.core * other.mode_products(matrices).to_dense()).sum()


def pad_core(core: Tensor, ranks: Mapping[int, int]) -> Tensor:
    """Zero-pad a core at the end of each mode to the given ranks."""
    padding = [ranks.get(mode, size) - size for mode, size in enumerate(core.shape)]
    if not any(padding):
        return core
    return torch.nn.functional.pad(core, [part for pad in reversed(padding) for part in (0, pad)])

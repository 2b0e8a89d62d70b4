"""What Tucker, CP and TT have in common."""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from rankfold._errors import OptionError, RankError, ShapeError
from rankfold.formats._scale import shifted

__all__ = ["Format"]


class Format(ABC):
    """A tensor that is stored as smaller tensors: :class:`Tucker`, :class:`CP` or :class:`TT`.

    Example:
        >>> import torch
        >>> from rankfold import CP, Tucker
        >>> a = CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1)))
        >>> isinstance(a, Format), a.norm() ** 2, a.inner(Tucker(torch.ones(3, 4), (None, None)))
        (True, tensor(12.), tensor(12.))
    """

    __slots__ = ()

    #: Who leads an inner product of two formats: the smaller number.
    _lead: ClassVar[int]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d) of the tensor."""

    @property
    @abstractmethod
    def ranks(self) -> tuple[int, ...]:
        """The ranks of this format."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that are stored."""

    @abstractmethod
    def to_dense(self) -> Tensor:
        """Multiply out; differentiable."""

    @abstractmethod
    def mode_products(self, matrices: Mapping[int, Tensor]) -> Self:
        """Multiply the fibres of some modes by matrices ``(m_i, n_i)``."""

    @abstractmethod
    def canonicalize(self) -> Self:
        """The same tensor in a form that depends on the tensor and its ranks only, up to rounding."""

    @abstractmethod
    def truncate(self, *, tolerance: float | None = None, ranks: int | Sequence[int] | None = None) -> Self:
        """Lower ranks, by a relative error or to given ranks."""

    @abstractmethod
    def _latent_places(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Where each rank index occurs, as (number in ``tensors``, axis); the first is where it is scaled."""

    @abstractmethod
    def _rebuilt(self, tensors: Sequence[Tensor]) -> Self:
        """The same kind of value with other tensors."""

    @abstractmethod
    def _scaled(self) -> tuple[Self, Tensor]:
        """The value in float64 with entries near 1, and the exponent of the power of two taken out."""

    @abstractmethod
    def _dot(self, other: "Format") -> Tensor:
        """Inner product with a format that does not lead this one."""

    def _along(self, factors: Sequence[Tensor]) -> Tensor:
        """Inner products with the R rank-one tensors of CP factors, ``(R,)``."""
        raise NotImplementedError

    @property
    def order(self) -> int:
        """Number of modes d."""
        return len(self.shape)

    @property
    def num_parameters(self) -> int:
        """Numbers stored."""
        return sum(tensor.numel() for tensor in self.tensors)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the stored tensors."""
        return self.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the stored tensors lie."""
        return self.tensors[0].device

    def norm(self) -> Tensor:
        """Frobenius norm, from Gram matrices in float64; nothing dense is formed and no square overflows.

        Returns:
            A scalar tensor. Where large parts cancel, half the digits of the parts remain.

        Example:
            >>> import torch
            >>> from rankfold import CP
            >>> CP(torch.tensor([1e30]), (torch.ones(2, 1), torch.ones(2, 1))).norm()
            tensor(2.0000e+30)
        """
        value, exponent = self._scaled()
        return shifted(value._dot(value).clamp_min(0).sqrt(), exponent).to(self.dtype)

    def inner(self, other: "Format") -> Tensor:
        """Inner product with a tensor in any format; nothing dense is formed.

        Arguments:
            other: of the same shape, dtype and device.

        Returns:
            A scalar tensor; differentiable.

        Raises:
            ShapeError: shapes, dtypes or devices differ, or other is no format.

        Example:
            >>> import torch
            >>> from rankfold import CP, TT
            >>> a = CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1)))
            >>> a.inner(TT((torch.ones(1, 3, 1), torch.ones(1, 4, 1))))
            tensor(12.)
        """
        if not isinstance(other, Format):
            raise ShapeError(
                f"inner: got a {type(other).__name__}; pass a Tucker, CP or TT, for a dense tensor "
                "Tucker(tensor, (None,) * tensor.ndim)."
            )
        if (self.shape, self.dtype, self.device) != (other.shape, other.dtype, other.device):
            raise ShapeError(
                f"inner: got {self!r} and {other!r}; shapes must be equal, dtypes and devices too: "
                "bring them together with .to()."
            )
        first, second = (self, other) if self._lead <= other._lead else (other, self)
        (a, a_exponent), (b, b_exponent) = first._scaled(), second._scaled()
        return shifted(a._dot(b), a_exponent + b_exponent).to(self.dtype)

    def latent_axes(self) -> dict[str, int]:
        """The rank indices that the tensor is a sum over: what dropout, gates and truncation act on.

        Returns:
            Sizes by name: ``mode_<i>`` for each mode of a Tucker tensor that has a factor, ``component`` of a CP
            tensor, ``bond_<k>`` between cores k and k+1 of a train.

        Example:
            >>> import torch
            >>> from rankfold import TT, Tucker
            >>> Tucker(torch.ones(2, 5), (torch.ones(3, 2), None)).latent_axes()
            {'mode_0': 2}
            >>> TT((torch.ones(1, 3, 2), torch.ones(2, 4, 1))).latent_axes()
            {'bond_0': 2}
        """
        tensors = self.tensors
        return {
            name: tensors[places[0][0]].shape[places[0][1]] for name, places in self._latent_places().items()
        }

    def scale_latent(self, axis: str, vector: Tensor) -> Self:
        """Multiply the terms of the sum over one rank index by numbers; differentiable in them too.

        Arguments:
            axis: a name of :meth:`latent_axes`.
            vector: ``(r,)``, one number per value of the index; taken to the precision and place of this value.

        Returns:
            A value of the same ranks. Bases that are orthonormal stay so: the core of a Tucker tensor is scaled, the
            weights of a CP tensor, and of a train the core after the bond.

        Raises:
            OptionError: another axis.
            ShapeError: not one number per value of the index.

        Example:
            >>> import torch
            >>> from rankfold import CP
            >>> t = CP(torch.ones(2), (torch.ones(3, 2), torch.ones(4, 2)))
            >>> t.scale_latent("component", torch.tensor([1.0, 0.5])).weights
            tensor([1.0000, 0.5000])
        """
        (place, dimension), size = self._latent("scale_latent", axis)[0], self.latent_axes()[axis]
        if vector.shape != (size,):
            raise ShapeError(
                f"{type(self).__name__}.scale_latent: got a vector of shape {tuple(vector.shape)}; axis {axis!r} "
                f"takes one of shape ({size},)."
            )
        tensors = list(self.tensors)
        one_per_row = vector.to(tensors[place]).view(-1, *[1] * (tensors[place].ndim - 1 - dimension))
        tensors[place] = tensors[place] * one_per_row
        return self._rebuilt(tensors)

    def select_latent(self, axis: str, indices: Sequence[int] | Tensor) -> Self:
        """Keep some terms of the sum over one rank index, and leave out the others.

        Arguments:
            axis: a name of :meth:`latent_axes`.
            indices: the values of the index to keep, in their new order; one at least.

        Returns:
            A value whose rank along the axis is the number of indices.

        Raises:
            OptionError: another axis.
            RankError: no index, or one that is out of range.

        Example:
            >>> import torch
            >>> from rankfold import TT
            >>> TT((torch.ones(1, 3, 5), torch.ones(5, 4, 1))).select_latent("bond_0", [0, 3])
            TT(shape=(3, 4), ranks=(2,), float32)
        """
        places, size = self._latent("select_latent", axis), self.latent_axes()[axis]
        chosen = torch.as_tensor(indices, device=self.device)
        if chosen.ndim != 1 or chosen.numel() == 0 or chosen.dtype not in (torch.int32, torch.int64):
            found = None
        else:
            found = int(chosen.amin()), int(chosen.amax())
        if found is None or found[0] < 0 or found[1] >= size:
            raise RankError(
                f"{type(self).__name__}.select_latent: got indices {reprlib.repr(chosen.tolist())} of axis {axis!r}; "
                f"pass whole numbers in 0..{size - 1}, one at least."
            )
        tensors = list(self.tensors)
        for place, dimension in places:
            tensors[place] = tensors[place].index_select(dimension, chosen)
        return self._rebuilt(tensors)

    def _latent(self, where: str, axis: str) -> tuple[tuple[int, int], ...]:
        places = self._latent_places()
        if axis not in places:
            raise OptionError(
                f"{type(self).__name__}.{where}: unknown axis {axis!r}; known are {', '.join(map(repr, places))}."
            )
        return places[axis]

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Self:
        """The same value in another precision or place.

        Arguments:
            dtype: a floating-point dtype; None keeps it.
            device: a device; None keeps it.

        Returns:
            A value of the same format; stored tensors that fit already are shared, not copied.

        Example:
            >>> import torch
            >>> from rankfold import CP
            >>> CP(torch.ones(2), (torch.ones(3, 2), torch.ones(4, 2))).to(dtype=torch.float64)
            CP(shape=(3, 4), rank=2, float64)
        """
        return self._rebuilt([tensor.to(dtype=dtype, device=device) for tensor in self.tensors])

    def __repr__(self) -> str:
        place = "" if self.device.type == "cpu" else f", {self.device}"
        return (
            f"{type(self).__name__}(shape={self.shape}, {self._ranks_text()}, "
            f"{str(self.dtype).removeprefix('torch.')}{place})"
        )

    def _ranks_text(self) -> str:
        return f"ranks={self.ranks}"

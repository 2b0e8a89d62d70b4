"""What Tucker, CP and TT have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold._shown import Shown
from rankfold.formats._scale import shifted

if TYPE_CHECKING:
    from rankfold._display import Block, View

__all__ = ["Format"]

_IN_FULL = 12  # numbers of a shape in one line


class Format(Shown, ABC):
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
    def _rebuilt(self, tensors: Sequence[Tensor]) -> Self:
        """The same kind of value with other tensors."""

    @abstractmethod
    def _scaled(self) -> tuple[Self, Tensor]:
        """The value in float64 with entries near 1, and the exponent of the power of two taken out."""

    @abstractmethod
    def _dot(self, other: "Format") -> Tensor:
        """Inner product with a format that does not lead this one."""

    def _work(self) -> int:
        """Multiplications that the norm and what a notebook shows take, about."""
        return self.num_parameters * max(self.ranks, default=1)

    def _blocks(self, known: bool) -> "Sequence[Block]":
        """What a notebook shows beside shape, ranks and size.

        Arguments:
            known: whether the stored numbers may be looked at.
        """
        return ()

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
            f"{type(self).__name__}(shape={_few(self.shape)}, {self._ranks_text()}, "
            f"{str(self.dtype).removeprefix('torch.')}{place})"
        )

    def _view(self) -> "View":
        from rankfold.formats._views import format_view

        return format_view(self)

    def _ranks_text(self) -> str:
        return f"ranks={_few(self.ranks)}"


def _few(numbers: tuple[int, ...]) -> str:
    """A tuple; of a long one the ends, for one line to hold it."""
    if len(numbers) <= _IN_FULL:
        return str(numbers)
    first, last = (", ".join(map(str, part)) for part in (numbers[:3], numbers[-2:]))
    return f"({first}, ... {len(numbers) - 5} more ..., {last})"

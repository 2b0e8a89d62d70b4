"""Classifier whose weight on the products of features of all samples of a signal is a matrix product state.

Axes: B batch, C classes, a and b bonds.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from rankfold._checks import check_count, check_tensors
from rankfold._errors import OptionError, ShapeError
from rankfold.formats import TT, haar_isometry
from rankfold.layers._format_layer import normal_like
from rankfold.layers._resize import replace_data

__all__ = ["MPSClassifier", "haar_coarsened"]


class MPSClassifier(nn.Module):
    """``y_c = W^c . phi(x_1) o ... o phi(x_n)`` with ``phi(x) = (1, x)``; W is a tensor train with a mode for classes.

    Linear in a weight of ``C 2^n`` entries, of which a matrix product state of bond r stores about ``2 n r^2``. Any
    optimiser trains it at fixed bonds, :func:`rankfold.training.fit_two_site` with bonds that adapt;
    :meth:`refine` makes it one of signals of twice the length with the same outputs.

    Arguments:
        samples: length n of the signal, 2 or more.
        classes: number of outputs.
        rank: of every bond, as far as there is room for it.
        label: number of samples before the mode of the class; None is half of them.
        device, dtype: as of ``nn.Linear``.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        OptionError: a number out of range.

    Reference:
        Stoudenmire and Schwab 2016, "Supervised learning with tensor networks"; Reyes and Stoudenmire 2020, "A
        multi-scale tensor network architecture for classification and regression".

    Example:
        >>> import torch
        >>> classifier = MPSClassifier(16, 10, rank=4)
        >>> classifier(torch.rand(3, 16)).shape, classifier.refine()(torch.rand(3, 32)).shape
        (torch.Size([3, 10]), torch.Size([3, 10]))
    """

    def __init__(
        self,
        samples: int,
        classes: int,
        *,
        rank: int,
        label: int | None = None,
        device: Any = None,
        dtype: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, number, least in (("samples", samples, 2), ("classes", classes, 1), ("rank", rank, 1)):
            check_count("MPSClassifier", name, number, least)
        self.label = samples // 2 if label is None else label
        if isinstance(self.label, bool) or not isinstance(self.label, int) or not 0 <= self.label <= samples:
            raise OptionError(
                f"MPSClassifier: label must lie in 0..{samples}, got {label!r}; pass such a number."
            )
        sizes = [2] * self.label + [classes] + [2] * (samples - self.label)
        for number, shape in enumerate(_core_shapes(sizes, rank)):
            self.register_parameter(
                f"core_{number}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            )
        self._count = len(sizes)
        self.reset_parameters(generator)

    @classmethod
    def from_value(cls, value: TT, label: int) -> Self:
        """A classifier with the tensors of a train.

        Arguments:
            value: modes of size 2 for the samples, and one of the size of the classes.
            label: which mode that is.

        Raises:
            ShapeError: other modes.

        Example:
            >>> import torch
            >>> value = TT((torch.ones(1, 2, 3), torch.ones(3, 10, 3), torch.ones(3, 2, 1)))
            >>> MPSClassifier.from_value(value, 1)(torch.zeros(4, 2)).shape
            torch.Size([4, 10])
        """
        _check_modes(value, label)
        classifier = cls(
            value.order - 1, value.shape[label], rank=1, label=label, device=value.device, dtype=value.dtype
        )
        classifier.assign(value)
        return classifier

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def parts(self) -> dict[str, nn.Parameter]:
        """The cores."""
        return {name: self.get_parameter(name) for name in (f"core_{k}" for k in range(self._count))}

    @property
    def value(self) -> TT:
        """The weight as a tensor train, sharing the live parameters; mode ``label`` is that of the class."""
        return TT(tuple(self.parts.values()))

    @property
    def samples(self) -> int:
        """Length of the signal."""
        return self._count - 1

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return self.get_parameter(f"core_{self.label}").shape[1]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The bonds, one fewer than there are cores."""
        return self.value.ranks

    # -- what it computes ------------------------------------------------------------------------------

    def forward(self, input: Tensor) -> Tensor:
        """Map signals ``(..., samples)`` to outputs ``(..., classes)``."""
        if input.shape[-1:] != (self.samples,):
            raise ShapeError(
                f"MPSClassifier: got an input of shape {tuple(input.shape)}; its last axis must be {self.samples}, so "
                "pass signals of this length or refine the classifier."
            )
        cores = list(self.parts.values())
        rows = input.reshape(-1, self.samples)
        columns = list(rows.unsqueeze(2).unbind(1))
        left_Ba = right_Bb = rows.new_ones(len(rows), 1)
        for column, core in zip(columns[: self.label], cores[: self.label], strict=True):
            left_Ba = left_Ba @ core[:, 0] + column * (left_Ba @ core[:, 1])
        pairs = zip(columns[self.label :], cores[self.label + 1 :], strict=True)
        for column, core in reversed(list(pairs)):
            right_Bb = right_Bb @ core[:, 0].mT + column * (right_Bb @ core[:, 1].mT)
        outputs_BC = torch.einsum("Ba,aCb,Bb->BC", left_Ba, cores[self.label], right_Bb)
        return outputs_BC.reshape(*input.shape[:-1], self.classes)

    # -- what it becomes -------------------------------------------------------------------------------

    def refine(self) -> "MPSClassifier":
        """The classifier of signals of twice the length: on each it gives what this one gives on its Haar coarsening.

        Returns:
            A new classifier with bonds of at most twice the size, whose outputs on ``x`` are this one's on the
            :func:`haar_coarsened` of ``x``, exactly up to rounding.
        """
        with torch.no_grad():
            value = TT(tuple(core.detach() for core in self.parts.values()))
            modes = [mode for mode in range(value.order) if mode != self.label]
            fine = value.refine(haar_isometry(value.dtype, value.device), modes)
        return MPSClassifier.from_value(fine, 2 * self.label).train(self.training)

    @torch.no_grad()
    def assign(self, value: TT) -> None:
        """Take the numbers of a train of the same modes at any ranks; parameters keep their identity.

        Arguments:
            value: as of :attr:`value`.

        Raises:
            ShapeError: other modes.
        """
        _require_train("MPSClassifier.assign", value)
        if value.shape != self.value.shape:
            raise ShapeError(
                f"MPSClassifier.assign: got modes {value.shape}, this one has {self.value.shape}; pass a train of the "
                "same modes."
            )
        for part, core in zip(self.parts.values(), value.cores, strict=True):
            replace_data(part, core.clone())

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Cores near the identity for the constant feature, small numbers for the sample and the class.

        Arguments:
            generator: source of the random numbers; None is torch's global one.
        """
        # Each sample lets squares of norms grow by about rank times the variance, all samples together by a factor.
        spread = (self.samples * max(self.ranks)) ** -0.5
        for number, core in enumerate(self.parts.values()):
            core.copy_(spread * normal_like(core, generator))
            if number != self.label:
                core[:, 0] += torch.eye(core.shape[0], core.shape[2], dtype=core.dtype, device=core.device)

    def extra_repr(self) -> str:
        """Sizes and bonds, for ``print(model)``."""
        return f"samples={self.samples}, classes={self.classes}, label={self.label}, ranks={self.ranks}"


def haar_coarsened(signal: Tensor, levels: int = 1) -> Tensor:
    """The low-pass half of a Haar wavelet transform: scaled sums of neighbouring samples, half as many.

    Arguments:
        signal: ``(..., n)``, n a multiple of ``2 ** levels``.
        levels: how often, 0 or more.

    Returns:
        ``(..., n / 2 ** levels)``; each level takes ``x`` to ``(x[0::2] + x[1::2]) / sqrt(2)``.

    Raises:
        OptionError: levels that are no whole number of 0 or more.
        ShapeError: another length.

    Example:
        >>> import torch
        >>> haar_coarsened(torch.tensor([1.0, 3.0, 5.0, 7.0]), 2).round()
        tensor([8.])
    """
    check_count("haar_coarsened", "levels", levels, 0)
    check_tensors("haar_coarsened", (signal,))
    if signal.ndim == 0 or signal.shape[-1] % 2**levels:
        raise ShapeError(
            f"haar_coarsened: got a signal of shape {tuple(signal.shape)}; its last axis must be a multiple of "
            f"{2**levels} for {levels} levels, so cut the signal or pad it."
        )
    for _ in range(levels):
        signal = (signal[..., 0::2] + signal[..., 1::2]) * 0.5**0.5
    return signal


def _core_shapes(sizes: Sequence[int], rank: int) -> list[tuple[int, int, int]]:
    """Shapes of cores with bonds of a rank, or of the product of the sizes on one side where that is less."""
    bonds = [1]
    for size in sizes[:-1]:
        bonds.append(min(rank, bonds[-1] * size))
    bonds.append(1)
    for k in range(len(sizes) - 1, 0, -1):
        bonds[k] = min(bonds[k], bonds[k + 1] * sizes[k])
    return [(bonds[k], size, bonds[k + 1]) for k, size in enumerate(sizes)]


def _check_modes(value: TT, label: int) -> None:
    _require_train("MPSClassifier.from_value", value)
    samples = [size for mode, size in enumerate(value.shape) if mode != label]
    if not 0 <= label < value.order or len(samples) < 2 or set(samples) != {2}:
        raise ShapeError(
            f"MPSClassifier: got a train of modes {value.shape} with the class at mode {label}; pass one with two or "
            "more other modes, all of size 2."
        )


def _require_train(where: str, value: object) -> None:
    if not isinstance(value, TT):
        raise ShapeError(f"{where}: got a {type(value).__name__}; pass a rankfold.TT.")

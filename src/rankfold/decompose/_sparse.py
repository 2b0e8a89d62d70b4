"""A sparse tensor whose unlisted entries are zeros.

Axes: n_i dimensions, R components, S probes, E listed entries.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, ShapeError
from rankfold.decompose._gram import GramNormal, grams, hadamard_except, model_norm_squared

__all__ = ["SparseData"]

# Choice of this library: numbers gathered at a time (listed entries times components), some 32 MiB in float64, so
# that the memory of a product does not grow with the number of entries.
_CHUNK = 2**22


class SparseData:
    """A tensor in coordinate form; time and memory follow the listed entries and the factors, never the shape.

    Arguments:
        tensor: ``torch.sparse_coo`` of order 2 or more, floating point, without dense axes. Entries listed twice are
            added up, listed zeros are allowed.

    Raises:
        ShapeError: another layout, order or dtype, or no entry at all.
        NonFiniteError: NaN or infinity among the entries.

    Reference:
        Bader and Kolda 2008, "Efficient MATLAB computations with sparse and factored tensors", section 3.

    Example:
        >>> import torch
        >>> data = SparseData(torch.eye(3).to_sparse())
        >>> data.count, round(data.norm, 4), data.loss([torch.eye(3), torch.eye(3)])
        (9, 1.7321, 0.0)
    """

    def __init__(self, tensor: Tensor) -> None:
        coordinates = tensor.layout == torch.sparse_coo and tensor.dense_dim() == 0
        if not coordinates or tensor.ndim < 2 or tensor.dtype not in (torch.float32, torch.float64):
            raise ShapeError(
                f"SparseData: got a {tensor.dtype} tensor of shape {tuple(tensor.shape)} and layout {tensor.layout}; "
                "pass a float32 or float64 torch.sparse_coo tensor of order 2 or more without dense axes, "
                "for instance x.to_sparse()."
            )
        merged = tensor.detach().coalesce()
        if merged.values().numel() == 0:
            raise ShapeError(
                f"SparseData: the tensor of shape {tuple(tensor.shape)} lists no entries; at least one is needed."
            )
        if not bool(merged.values().isfinite().all()):
            bad = int((~merged.values().isfinite()).sum())
            raise NonFiniteError(
                f"SparseData: {bad} of {merged.values().numel()} listed entries are NaN or infinite; "
                "remove or replace them first."
            )
        self.indices, self.values = merged.indices(), merged.values()
        self.shape = tuple(tensor.shape)
        self.dtype, self.device = tensor.dtype, tensor.device
        # Exact: Python's integers do not overflow at 10^5 x 10^5 x 10^5 and beyond.
        self.count = prod(self.shape)
        self.norm = float(torch.linalg.vector_norm(self.values, dtype=torch.float64))

    def model_values(self, factors: Sequence[Tensor]) -> Tensor:
        """The model at the listed entries, ``(E,)``."""
        parts = []
        for span in self._spans(factors[0].shape[1]):
            gathered = factors[0][self.indices[0, span]]
            for mode in range(1, len(factors)):
                gathered = gathered * factors[mode][self.indices[mode, span]]
            parts.append(gathered.sum(1))
        return torch.cat(parts)

    def mttkrp(self, factors: Sequence[Tensor], mode: int, values: Tensor | None = None) -> Tensor:
        """Matricised tensor times Khatri-Rao product, by gathering and adding up rows.

        Arguments:
            factors: per mode ``(n_i, R)``; that of ``mode`` is not read.
            mode: the mode that is left.
            values: other numbers ``(E,)`` at the listed places; None takes the tensor's own.

        Returns:
            ``(n_mode, R)``, added up in float64. On CUDA the order of the additions, and with it the last digits,
            changes from call to call unless ``torch.use_deterministic_algorithms`` is on.
        """
        values = self.values if values is None else values
        others = [axis for axis in range(len(factors)) if axis != mode]
        rank = factors[others[0]].shape[1]
        result = values.new_zeros(self.shape[mode], rank, dtype=torch.float64)
        for span in self._spans(rank):
            gathered = values[span].unsqueeze(1) * factors[others[0]][self.indices[others[0], span]]
            for axis in others[1:]:
                gathered = gathered * factors[axis][self.indices[axis, span]]
            result.index_add_(0, self.indices[mode, span], gathered.double())
        return result.to(self.dtype)

    def loss(self, factors: Sequence[Tensor]) -> float:
        """Half the squared error, ``½ (||x||² - 2 <x, model> + ||model||²)``: of an exact fit sqrt(eps) is left."""
        inner = (self.values.double() * self.model_values(factors)).sum()
        return self._loss(float(inner), grams(factors))

    def gradients(self, factors: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its derivative by each factor."""
        matrices = grams(factors)
        products = [self.mttkrp(factors, mode) for mode in range(len(factors))]
        inner = float((products[0].double() * factors[0]).sum())
        slopes = [
            factor @ hadamard_except(matrices, mode) - right
            for mode, (factor, right) in enumerate(zip(factors, products, strict=True))
        ]
        return self._loss(inner, matrices), slopes

    def sweep(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Mode by mode the right side and the Gram matrix of the least squares problem."""
        matrices = grams(factors)
        for mode in range(len(factors)):
            yield mode, self.mttkrp(factors, mode), hadamard_except(matrices, mode)
            matrices[mode] = factors[mode].mT @ factors[mode]

    def normal(self, factors: Sequence[Tensor]) -> GramNormal:
        """The Gauss-Newton matrix: zeros are observed, so it is that of complete data."""
        return GramNormal(factors)

    def contract(self, factors: Sequence[Tensor], probes: Sequence[Tensor], mode: int) -> Tensor:
        """The residual times probes in all modes but one, ``(n_mode, S)``."""
        result = self.mttkrp(probes, mode)
        if not factors:
            return result
        mixed = [factor.mT @ probe for factor, probe in zip(factors, probes, strict=True)]
        return result - factors[mode] @ hadamard_except(mixed, mode)

    def probe(self, factors: Sequence[Tensor]) -> Callable[[Sequence[Tensor], int], Tensor]:
        """:meth:`contract` at fixed factors."""
        return partial(self.contract, factors)

    def _spans(self, rank: int) -> Iterator[slice]:
        """Pieces of the list of entries whose gathered rows keep within the bound on memory."""
        length = max(1, _CHUNK // max(rank, 1))
        for start in range(0, self.values.numel(), length):
            yield slice(start, start + length)

    def _loss(self, inner: float, matrices: list[Tensor]) -> float:
        model = float(model_norm_squared([matrix.double() for matrix in matrices]))
        return max(0.5 * (self.norm**2 - 2 * inner + model), 0.0)

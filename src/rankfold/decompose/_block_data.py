"""A complete tensor that is read block by block, by one process or by many.

Axes: n_i dimensions, R components, S probes. Every product with the tensor is a sum over blocks of the same product
with a block and the rows of the cut mode's factor that belong to it. What goes from worker to worker are sums of
matrices ``(n_i, S)``; all workers hold all factors.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor

from rankfold.decompose._block_hosvd import block_hosvd
from rankfold.decompose._blocks import Blocks
from rankfold.decompose._complete import forms_residual
from rankfold.decompose._gram import GramNormal, grams, hadamard_except, model_norm_squared
from rankfold.decompose._together import together
from rankfold.decompose._tree import leaves, mttkrp, mttkrps, without_first, without_last
from rankfold.formats import balanced_outer
from rankfold.linalg import HOSVD

__all__ = ["PARTIAL_BLOCKS", "BlockData"]

# Choice of this library: the size in blocks of each of the two products that a sweep may keep beside its block.
PARTIAL_BLOCKS = 2


class BlockData:
    """All entries observed, none of them kept in memory.

    Arguments:
        blocks: the tensor.
        norm: its Frobenius norm, after scaling.
    """

    def __init__(self, blocks: Blocks, norm: float) -> None:
        self._blocks = blocks
        self.shape = blocks.shape
        self.dtype, self.device = blocks.dtype, torch.device("cpu")
        self.count = prod(blocks.shape)
        self.norm = norm

    def loss(self, factors: Sequence[Tensor]) -> float:
        """Half the squared error, from the residual of each block."""

        def work() -> list[Tensor]:
            total = torch.zeros(1, dtype=torch.float64)
            for box, block in self._blocks.tiles():
                residual = block.sub_(balanced_outer(_within(factors, box)))
                total += residual.square_().sum(dtype=torch.float64)
            return [total]

        return 0.5 * float(self._blocks.summed(factors, work)[0])

    def gradients(self, factors: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its derivative by each factor, in one pass over the tensor."""
        if forms_residual(self.count):
            total, *slopes = self._products(factors, factors, range(len(factors)))
            return 0.5 * float(total), [-slope for slope in slopes]
        _, *products = self._products(factors, (), range(len(factors)))
        matrices = grams(factors)
        inner = (products[-1] * factors[-1]).sum(dtype=torch.float64)
        model = model_norm_squared([matrix.double() for matrix in matrices])
        slopes = [
            factor @ hadamard_except(matrices, mode) - part
            for mode, (factor, part) in enumerate(zip(factors, products, strict=True))
        ]
        return max(0.5 * self.norm**2 - float(inner - 0.5 * model), 0.0), slopes

    def sweep(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Mode by mode the right side and the Gram matrix, in two passes over the tensor.

        One pass per mode instead where a partial product that stays in memory between modes would be larger than two
        blocks.
        """
        matrices = grams(factors)
        visits = self._visits(factors) if self._partial_fits(factors[0].shape[1]) else self._single(factors)
        for mode, right in visits:
            yield mode, right, hadamard_except(matrices, mode)
            matrices[mode] = factors[mode].mT @ factors[mode]

    def normal(self, factors: Sequence[Tensor]) -> GramNormal:
        """The Gauss-Newton matrix, from Gram matrices."""
        return GramNormal(factors)

    def contract(self, factors: Sequence[Tensor], probes: Sequence[Tensor], mode: int) -> Tensor:
        """The residual times probes in all modes but one, in one pass over the tensor."""
        if not factors or forms_residual(self.count):
            return self._products(probes, factors, [mode])[1]
        result = self._products(probes, (), [mode])[1]
        mixed = [factor.mT @ probe for factor, probe in zip(factors, probes, strict=True)]
        return result - factors[mode] @ hadamard_except(mixed, mode)

    def probe(self, factors: Sequence[Tensor]) -> Callable[[Sequence[Tensor], int], Tensor]:
        """:meth:`contract` at fixed factors."""
        return partial(self.contract, factors)

    def hosvd(self, modes: tuple[int, ...], ranks: tuple[int, ...]) -> HOSVD:
        """The tensor in coordinates of its leading singular vectors; the cut mode comes last."""
        order = sorted(range(len(modes)), key=lambda index: modes[index] == self._blocks.cut)
        return block_hosvd(
            self._blocks,
            tuple(modes[index] for index in order),
            self.norm,
            ranks=tuple(ranks[index] for index in order),
        )

    def _products(
        self, probes: Sequence[Tensor], model: Sequence[Tensor], modes: Sequence[int]
    ) -> list[Tensor]:
        """``||x - model||²`` and the MTTKRPs of ``x - model`` with probes, for some modes, in one pass."""

        def work() -> list[Tensor]:
            total = torch.zeros(1, dtype=torch.float64)
            sums = [
                torch.zeros(self.shape[mode], probes[mode - 1].shape[1], dtype=torch.float64)
                for mode in modes
            ]
            for box, block in self._blocks.tiles():
                near = _within(probes, box)
                if model:
                    block.sub_(balanced_outer(_within(model, box)))
                    total += torch.linalg.vector_norm(block, dtype=torch.float64) ** 2
                found = (
                    mttkrps(block, near)
                    if len(modes) == len(probes)
                    else [(mode, mttkrp(block, near, mode)) for mode in modes]
                )
                for index, (mode, part) in enumerate(found):
                    sums[index][box[mode]] += part
            return [total, *sums]

        total, *sums = self._blocks.summed([*probes, *model], work)
        return [total, *(part.to(self.dtype) for part in sums)]

    def _single(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
        for mode in range(len(factors)):
            yield mode, self._products(factors, (), [mode])[1]

    def _visits(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """The visits of :func:`mttkrps`, with the two products with the whole tensor added up block by block."""
        order, span = len(factors), self._span()
        half = (order + 1) // 2
        for start, stop in ((0, half), (half, order)):
            partial_product = together(
                self._blocks.workers, partial(self._local, factors, start, stop), factors
            )
            mine = _within(factors, span)
            for mode, part in leaves(partial_product, start, stop, mine):
                whole = torch.zeros(self.shape[mode], part.shape[1], dtype=torch.float64)
                whole[span[mode]] = part.double()
                self._blocks.workers.add_([whole])
                yield mode, whole.to(self.dtype)
                mine[mode] = factors[mode][span[mode]]

    def _local(self, factors: list[Tensor], start: int, stop: int) -> Tensor:
        """This worker's part of the product that leaves the modes from ``start`` to ``stop``, ``(R, n_start, ...)``."""
        span = self._span()[start:stop]
        sizes = [side.stop - side.start for side in span]
        result = torch.zeros(factors[0].shape[1], *sizes, dtype=self.dtype)
        for box, block in self._blocks.tiles():
            near = _within(factors, box)
            part = without_last(block, near, stop) if start == 0 else without_first(block, near, start)
            inside = [
                slice(side.start - own.start, side.stop - own.start)
                for side, own in zip(box[start:stop], span, strict=True)
            ]
            result[(slice(None), *inside)] += part
        return result

    def _span(self) -> list[slice]:
        """What this worker reads, per mode."""
        cut = self._blocks.cut
        return [self._blocks.source.rows if mode == cut else slice(0, n) for mode, n in enumerate(self.shape)]

    def _partial_fits(self, rank: int) -> bool:
        """Whether the products fit that :meth:`_visits` keeps; the answer is that of the longest slice everywhere."""
        shape, half = list(self.shape), (len(self.shape) + 1) // 2
        shape[self._blocks.cut] = -(-shape[self._blocks.cut] // self._blocks.workers.count)
        entries = rank * max(prod(shape[:half]), prod(shape[half:]))
        return entries * self.dtype.itemsize <= PARTIAL_BLOCKS * self._blocks.source.block_bytes


def _within(matrices: Sequence[Tensor], box: Sequence[slice]) -> list[Tensor]:
    """The rows of one matrix per mode that belong to a box."""
    return [matrix[side] for matrix, side in zip(matrices, box, strict=True)]

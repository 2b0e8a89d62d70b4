"""What every choice of ranks keeps of a weight, and what it costs once it is folded to plain layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Choice", "Form"]


@dataclass(frozen=True, slots=True)
class Choice:
    """How to write a weight.

    Arguments:
        modes: the modes to factorise.
        ranks: one rank per mode.
    """

    modes: tuple[int, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """A weight as a Tucker tensor along some of its modes, and what every choice of ranks keeps and costs.

    Costs are those of the plain layers with the fewest parameters, which is what :func:`rankfold.fold` gives.

    Arguments:
        shape: of the weight.
        modes: the factorised modes.
        energies: float64, one axis per mode: entry ``[i, j, ...]`` is the squared norm of that slice of the core of
            the full HOSVD; diagonal for a matrix in both modes. With calibration they are squares of the weighted
            weight, which estimate the loss.
        incoming: mode of the weight that faces the input.
        outgoing: mode of the weight that faces the output.
        groups: of a convolution.
        foldable: whether chains of plain layers can stand for all layers that have the weight.
        transposed_too: whether some of these layers look rows up in the weight and others multiply by it; they go on
            sharing the table, but not the maps that follow, for each is the other's transposed.

    Example:
        >>> energies = torch.diag(torch.tensor([9.0, 4.0, 1.0], dtype=torch.float64))
        >>> form = Form((3, 4), (0, 1), energies)
        >>> form.lost((2, 2)), form.parameters((1, 1)), form.parameters((2, 2))
        (1.0, 7, 12)
    """

    shape: tuple[int, ...]
    modes: tuple[int, ...]
    energies: Tensor
    incoming: int = 1
    outgoing: int = 0
    groups: int = 1
    foldable: bool = True
    transposed_too: bool = False

    @cached_property
    def spectra(self) -> tuple[Tensor, ...]:
        """Squared singular values of each mode, largest first up to rounding; each adds up to the total energy."""
        axes = range(self.energies.ndim)
        return tuple(
            self.energies.sum([a for a in axes if a != axis]) if len(axes) > 1 else self.energies
            for axis in axes
        )

    @cached_property
    def kept(self) -> Tensor:
        """Energy that leading cores keep: entry ``[i, j, ...]`` belongs to ranks ``(i + 1, j + 1, ...)``."""
        table = self.energies
        for axis in range(table.ndim):
            table = table.cumsum(axis)
        return table

    @cached_property
    def total(self) -> float:
        """The whole energy."""
        return float(self.energies.sum())

    @cached_property
    def grid(self) -> tuple[Tensor, ...]:
        """All ranks the shape allows, alone and against each other: one int64 column per mode, on the CPU."""
        if self._is_matrix:
            ranks = torch.arange(1, len(self._lost_table) + 1)
            return ranks, ranks
        return _feasible(self.shape, self.modes, tuple(self.energies.shape))

    @cached_property
    def losses(self) -> Tensor:
        """Squared (weighted) truncation error at each row of ``grid``; float64 ``(n,)``, on the CPU."""
        if self._is_matrix:
            return self._lost_table
        return self._lost_table[tuple(column - 1 for column in self.grid)]

    def lost(self, ranks: tuple[int, ...]) -> float:
        """Squared (weighted) truncation error at these ranks.

        It is that of projecting on the leading singular vectors of each mode. A sequential truncation in two modes
        errs less or as much, for it fits the second basis to what the first left; in one mode, and for matrices, it
        is the same.
        """
        if self._is_matrix:
            return float(self._lost_table[min(ranks) - 1])
        return float(self._lost_table[tuple(rank - 1 for rank in ranks)])

    def parameters(self, ranks: tuple[int, ...]) -> int:
        """Numbers in the plain layers that the weight at these ranks folds to; bias apart."""
        return int(self.parameters_at(_columns(ranks)))

    def parameters_at(self, columns: Sequence[Tensor]) -> Tensor:
        """:meth:`parameters` at many ranks, given as one int64 column per mode."""
        if self.transposed_too:
            return self._folded(columns, lambda chain: chain.kept)
        return reduce(torch.minimum, (chain.size for chain in self._chains(columns)))

    def multiplications(self, ranks: tuple[int, ...], positions: tuple[int, int], lookups: int = 0) -> int:
        """Multiply-adds of the plain layers.

        Arguments:
            ranks: one per mode.
            positions: number of input and of output positions, samples counted.
            lookups: number of rows looked up in a table, which takes no multiplication by itself.
        """
        return int(self.multiplications_at(_columns(ranks), positions, lookups))

    def multiplications_at(
        self, columns: Sequence[Tensor], positions: tuple[int, int], lookups: int = 0
    ) -> Tensor:
        """:meth:`multiplications` at many ranks, given as one int64 column per mode."""
        before, after = positions
        windows = self._windows(positions)

        def products(chain: _Chain) -> Tensor:
            maps = chain.size - chain.table
            return chain.towards * before + chain.core * windows + chain.away * after + maps * lookups

        return self._folded(columns, products)

    def dense_multiplications(self, positions: tuple[int, int]) -> int:
        """Multiply-adds of the dense layer; a lookup takes none."""
        return prod(self.shape) * self._windows(positions)

    @property
    def _is_matrix(self) -> bool:
        return len(self.shape) == len(self.modes) == 2

    def _windows(self, positions: tuple[int, int]) -> int:
        """Where the window is applied: a transposed convolution does so at its inputs."""
        return positions[0] if self.outgoing == 1 and len(self.shape) > 2 else positions[1]

    @cached_property
    def _lost_table(self) -> Tensor:
        """What lies outside of leading cores, summed up without cancellation, so that full rank loses exactly 0."""
        inside = self.energies.diagonal() if self._is_matrix else self.energies
        table = torch.zeros_like(inside)
        for axis in range(inside.ndim):
            later = list(range(axis + 1, inside.ndim))
            table = table + _after(inside.sum(later, keepdim=True) if later else inside, axis)
            inside = inside.cumsum(axis)
        return table.cpu()

    def _folded(self, columns: Sequence[Tensor], cost: Callable[["_Chain"], Tensor]) -> Tensor:
        """Cost of the chain that fold takes: the smallest, of equals the first, or else the dense layer."""
        dense, *chains = self._chains(columns)
        smallest, kept, least = dense.size, dense.kept, cost(dense)
        for chain in chains:
            smaller = chain.size < smallest
            smallest = torch.where(smaller, chain.size, smallest)
            kept, least = (
                torch.where(smaller, chain.kept, kept),
                torch.where(smaller, cost(chain), least),
            )
        return torch.where(kept < dense.size, least, cost(dense))

    def _chains(self, columns: Sequence[Tensor]) -> Iterator["_Chain"]:
        """The ways to fold, in the order of ``FactorizedLayer.fold_candidates``: the dense layer first."""
        ranks = dict(zip(self.modes, columns, strict=True))
        none = torch.zeros_like(columns[0])
        for keep in ((), (0,), (1,), (0, 1)) if self.foldable else ((),):
            if set(keep) <= set(self.modes):
                # A core of low rank in mode 0 serves every group, so each group gets its own copy of it, and so
                # does the factor of mode 1, which runs over the channels of one group.
                core = prod(ranks[mode] if mode in keep else size for mode, size in enumerate(self.shape))
                core = core * (self.groups if 0 in keep else 1) + none
                sides = {
                    mode: self.shape[mode] * (self.groups if mode == 1 else 1) * ranks[mode] for mode in keep
                }
                towards, away = sides.get(self.incoming, none), sides.get(self.outgoing, none)
                size, table = core + towards + away, sides.get(0, core)
                yield _Chain(
                    towards, core, away, size, table, 2 * size - table if self.transposed_too else size
                )


class _Chain(NamedTuple):
    """Sizes of the plain layers of one way to fold.

    Arguments:
        towards: of the layer towards the input.
        core: of the layer in the middle.
        away: of the layer away from the input.
        size: of all.
        table: of that which holds mode 0 of the weight, where lookups go.
        kept: of all that the layers which share the weight keep together.
    """

    towards: Tensor
    core: Tensor
    away: Tensor
    size: Tensor
    table: Tensor
    kept: Tensor


@lru_cache(maxsize=8)  # layers of one network have few different shapes
def _feasible(shape: tuple[int, ...], modes: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """All ranks up to some sizes at which no mode exceeds the product of the others."""
    columns = torch.meshgrid(*(torch.arange(1, size + 1) for size in sizes), indexing="ij")
    columns = [column.flatten() for column in columns]
    by_mode = dict(zip(modes, columns, strict=True))
    volume = prod(by_mode.get(mode, size) for mode, size in enumerate(shape))
    possible = reduce(torch.logical_and, (column * column <= volume for column in columns))
    return tuple(column[possible] for column in columns)


def _columns(ranks: tuple[int, ...]) -> list[Tensor]:
    return [torch.tensor([rank]) for rank in ranks]


def _after(values: Tensor, axis: int) -> Tensor:
    """Sum of what follows each entry along an axis, smallest first."""
    following = values.flip(axis).cumsum(axis).flip(axis).narrow(axis, 1, values.shape[axis] - 1)
    return torch.cat([following, torch.zeros_like(values.narrow(axis, 0, 1))], axis)

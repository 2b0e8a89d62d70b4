"""How fast the singular values of weights fall: what low rank could keep of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import torch
from rich.table import Table
from torch import Tensor

from rankfold._errors import NonFiniteError
from rankfold.diagnostics import spectrum
from rankfold.report._tables import empty_table, plain, sizes

__all__ = ["SHARES", "Spectrum", "spectra_of", "spectra_table"]

#: Of the full rank, at which the kept energy is shown.
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """The singular values of one unfolding of a weight.

    Arguments:
        layer: name of the layer.
        kind: of the layer.
        shape: of its weight.
        mode: ``'output'`` or ``'input'``, or ``'both'`` for matrices.
        full_rank: number of singular values.
        energies: share of the squared norm that the largest 25, 50 and 75 % of the singular values hold.
        stable_rank: squared norm over the square of the largest singular value.
        numerical_rank: singular values that are more than rounding.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    mode: str
    full_rank: int
    energies: tuple[float, ...]
    stable_rank: float
    numerical_rank: int


def spectra_of(layer: str, kind: str, weight: Tensor, channel_modes: tuple[int, int]) -> tuple[Spectrum, ...]:
    """The spectra of a weight along its output and its input mode, which for a matrix are one.

    Arguments:
        layer, kind: named in the result.
        weight: of two or more dimensions.
        channel_modes: input and output mode.

    Raises:
        NonFiniteError: the weight holds NaN or infinity.

    Reference:
        Stable rank as in Rudelson, Vershynin 2007, "Sampling from large matrices", section 1; the numerical rank counts
        singular values over eps * max(m, n) times the largest, as ``numpy.linalg.matrix_rank`` does.

    Example:
        >>> spectrum, = spectra_of("", "Linear", torch.diag(torch.tensor([4.0, 2.0, 2.0, 0.0])), (1, 0))
        >>> spectrum.stable_rank, spectrum.numerical_rank
        (1.5, 3)
    """
    weight = weight.detach()
    if not bool(weight.isfinite().all()):
        raise NonFiniteError(f"inspect: the weight of {layer!r} holds NaN or infinity; restore the file.")
    incoming, outgoing = channel_modes
    modes = {"both": outgoing} if weight.ndim == 2 else {"output": outgoing, "input": incoming}
    found = []
    for name, mode in modes.items():
        one = spectrum(weight, mode)
        count, largest = len(one.values), max(weight.shape[mode], weight.numel() // weight.shape[mode])
        floor = torch.finfo(weight.dtype).eps * largest * one.values[0]
        found.append(
            Spectrum(
                layer=layer,
                kind=kind,
                shape=tuple(weight.shape),
                mode=name,
                full_rank=count,
                energies=tuple(one.energy(ceil(share * count)) for share in SHARES),
                stable_rank=one.stable_rank,
                numerical_rank=sum(value > floor for value in one.values),
            )
        )
    return tuple(found)


def spectra_table(spectra: Iterable[Spectrum]) -> Table:
    """One row per unfolding."""
    table = empty_table("Singular values: energy in the largest of them")
    table.add_column("layer", overflow="fold")
    for name in ("kind", "shape", "mode"):
        table.add_column(name, no_wrap=True)
    for share in SHARES:
        table.add_column(f"{share:.0%}", justify="right", no_wrap=True)
    for name in ("stable rank", "numerical rank", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in spectra:
        table.add_row(
            plain(row.layer),
            plain(row.kind),
            sizes(row.shape),
            row.mode,
            *(f"{energy:.1%}" for energy in row.energies),
            f"{row.stable_rank:.1f}",
            str(row.numerical_rank),
            str(row.full_rank),
        )
    return table

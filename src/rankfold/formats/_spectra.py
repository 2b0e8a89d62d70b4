"""Singular values of the unfoldings that ranks cut, to look at: from Gram matrices, nothing dense is formed.

Of two singular values the smaller has no digits left where it is below 1e-8 of the larger.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from rankfold.linalg import mode_product, unfold

__all__ = ["bond_spectra", "mode_spectra"]


def mode_spectra(core: Tensor, factors: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Of a Tucker tensor, along its factorised modes.

    Arguments:
        core: ``(r_1, ..., r_d)``.
        factors: for each factorised mode its factor ``(n_i, r_i)``.

    Returns:
        For each of these modes ``(r_i,)`` in float64 on the CPU, largest first.

    Example:
        >>> found = mode_spectra(torch.diag(torch.tensor([3.0, 2.0])), {0: torch.eye(3, 2)})
        >>> found[0].round(decimals=6)
        tensor([3., 2.], dtype=torch.float64)
    """
    if core.numel() == 0:
        return {mode: torch.zeros(core.shape[mode], dtype=torch.float64, device="cpu") for mode in factors}
    grams = {mode: factor.mT @ factor for mode, factor in factors.items()}
    found = {}
    for mode, gram in grams.items():
        others = [(other, matrix) for other, matrix in grams.items() if other != mode]
        weighted = reduce(lambda work, pair: mode_product(work, pair[1], pair[0]), others, core)
        found[mode] = _singular(gram, unfold(weighted, mode) @ unfold(core, mode).mT)
    return found


def bond_spectra(cores: Sequence[Tensor]) -> list[Tensor]:
    """Of a tensor train, at its inner ranks.

    Arguments:
        cores: ``(r_{k-1}, n_k, r_k)``.

    Returns:
        For each bond ``(r_k,)`` in float64 on the CPU, largest first.

    Example:
        >>> a, b = torch.ones(1, 4, 1), torch.ones(1, 9, 1)
        >>> bond_spectra([a, b])
        [tensor([6.], dtype=torch.float64)]
    """
    left, right = [cores[0].new_ones(1, 1)], [cores[0].new_ones(1, 1)]
    for core in cores[:-1]:
        left.append(torch.tensordot(left[-1], core, 1).flatten(0, 1).mT @ core.flatten(0, 1))
    for core in reversed(cores[1:]):
        right.append(torch.tensordot(core, right[-1], 1).flatten(1) @ core.flatten(1).mT)
    return [_singular(a, b) for a, b in zip(left[1:], reversed(right[1:]), strict=True)]


def _singular(left: Tensor, right: Tensor) -> Tensor:
    """Singular values of A Bᵀ from AᵀA and BᵀB, both (r, r), which alone come to the CPU."""
    a, b = (gram.cpu().double() for gram in (left, right))
    if not bool(a.isfinite().all() & b.isfinite().all()):
        return a.new_full((len(a),), torch.nan)
    squares, vectors = torch.linalg.eigh((a + a.mT) / 2)
    root = vectors * squares.clamp_min(0).sqrt()
    inner = root.mT @ b @ root
    return torch.linalg.eigvalsh((inner + inner.mT) / 2).clamp_min(0).sqrt().flip(0)

"""A complete tensor in coordinates of its leading singular vectors.

Axes: n_i dimensions, r_i kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.decompose._block_data import BlockData
from rankfold.decompose._complete import CompleteData

__all__ = ["Compressed", "Compressible", "compress"]

# Choice of this library: a core of more than half the entries does not repay the projection.
_SHARE = 0.5
# Below so many entries there is no time to be saved; choice of this library.
_LEAST_ENTRIES = 2**6
# Cores of so many entries are faster on the CPU, where a step is not dominated by the launch of its kernels.
_CPU_ENTRIES = 2**17


# Complete data, in memory or read block by block.
Compressible = CompleteData | BlockData


@dataclass(frozen=True, slots=True)
class Compressed:
    """Data to work on in place of the tensor, and the way back.

    Arguments:
        data: the core, float64, of norm 1.
        bases: per mode ``(n_i, r_i)`` with orthonormal columns, or None where the mode was left alone.
        scale: norm of the core.
        lost: norm of what the projection removed, relative to that of the tensor.
    """

    data: CompleteData
    bases: tuple[Tensor | None, ...]
    scale: float
    lost: float

    def expand(self, factors: Sequence[Tensor], *, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        """Factors of the core as factors of the tensor."""
        share = self.scale ** (1 / len(factors))
        moved = [(factor * share).to(device=device) for factor in factors]
        return [
            (factor if basis is None else basis.to(factor.dtype) @ factor).to(dtype)
            for factor, basis in zip(moved, self.bases, strict=True)
        ]

    def project(self, factors: Sequence[Tensor]) -> list[Tensor]:
        """Factors of the tensor as factors of the core; the way back from :meth:`expand`."""
        share = self.scale ** (1 / len(factors))
        return [
            ((factor if basis is None else basis.mT.to(factor.dtype) @ factor) / share).to(
                dtype=self.data.dtype, device=self.data.device
            )
            for factor, basis in zip(factors, self.bases, strict=True)
        ]


def compress(data: Compressible, ranks: Sequence[int]) -> Compressed | None:
    """Project every mode that exceeds its rank on as many leading singular vectors.

    The best CP approximation of the core is close to that of the tensor, not equal where there is noise; a few
    sweeps on the tensor itself make up for it.

    Arguments:
        data: complete, of norm above 0.
        ranks: largest dimension of each mode of the core.

    Returns:
        The core in float64, or None where projecting does not pay.

    Reference:
        Bro and Andersson 1998, "Improving the speed of multiway algorithms, part II: compression".
    """
    kept = [min(size, rank) for size, rank in zip(data.shape, ranks, strict=True)]
    if data.count < _LEAST_ENTRIES or torch.Size(kept).numel() > _SHARE * data.count:
        return None
    modes = [mode for mode, size in enumerate(data.shape) if kept[mode] < size]
    # The mode that shrinks most goes first: all others then read less.
    modes.sort(key=lambda mode: kept[mode] / data.shape[mode])
    result = data.hosvd(tuple(modes), tuple(kept[mode] for mode in modes))
    core = result.core.double()
    if core.numel() <= _CPU_ENTRIES:
        core = core.cpu()
    scale = float(torch.linalg.vector_norm(core))
    work = CompleteData(core / scale if scale > 0 else core)
    bases = tuple(result.bases.get(mode) for mode in range(len(kept)))
    return Compressed(work, bases, scale, float(result.error) / data.norm)

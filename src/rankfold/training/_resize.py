"""A Tucker tensor at other ranks, and how coordinates and gradients move along.

A factor is written U = Q R. The new factor is Q P and the new core C x_i M_i with M_i = P_iᵀ R_i. Gradients go the
other way, so that inner products stay: the core's by N_i = P_iᵀ R_i⁻ᵀ, the factor's by R_iᵀ P_i on its columns.
Where bases are orthonormal, R is the identity and M = N.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rankfold.formats import Tucker, truncate_cores
from rankfold.linalg import mode_products, orthonormality_defect, orthonormalize, spectrum_dtype

__all__ = ["Resized", "resized"]


@dataclass(frozen=True, slots=True, eq=False)
class Resized:
    """A tensor at its new ranks.

    Arguments:
        tucker: the tensor.
        error: what the cut removed, relative to the norm of the tensor.
        cut_core: the core after the cut and before it was padded.
        core_gradients: for each mode that was turned N, with ``new gradient = old gradient x_i N_i``.
        factor_gradients: likewise for the columns of the factors.
    """

    tucker: Tucker
    error: float
    cut_core: Tensor
    core_gradients: dict[int, Tensor] = field(default_factory=dict)
    factor_gradients: dict[int, Tensor] = field(default_factory=dict)


def resized(
    tucker: Tucker,
    ranks: Mapping[int, int],
    *,
    turn_all: bool,
    generator: torch.Generator | None,
    defect_allowed: float,
    zero_row: int | None = None,
) -> Resized:
    """Cut modes that shall be narrower by HOSVD, widen the others by random orthonormal columns and a zero core.

    Arguments:
        tucker: any factors of full column rank.
        ranks: the new rank of each factorised mode.
        turn_all: where a mode is cut, bring the core to HOSVD form in all of them.
        generator: source of the new columns; None is torch's global one.
        defect_allowed: a basis this near to orthonormal counts as such.
        zero_row: a row of the factor of mode 0 that stays zero.

    Raises:
        NonFiniteError: a core that must be cut holds NaN or infinity.
    """
    factors = {mode: f for mode in tucker.modes if (f := tucker.factors[mode]) is not None}
    core, error = tucker.core, 0.0
    by_core: dict[int, Tensor] = {}
    by_factor: dict[int, Tensor] = {}
    cut = [mode for mode, rank in ranks.items() if rank < core.shape[mode]]
    if cut:
        treated = tuple(factors) if turn_all else tuple(cut)
        pairs = {mode: _orthonormal(factor, defect_allowed) for mode, factor in factors.items()}
        triangles = {mode: triangle for mode, (_, triangle) in pairs.items() if triangle is not None}
        work = mode_products(core.to(spectrum_dtype(core)), triangles)
        wanted = [min(ranks[mode], core.shape[mode]) for mode in treated]
        (result,) = truncate_cores([work], [treated], ranks=[tuple(wanted)])
        norm = torch.linalg.vector_norm(work)
        error = float(result.error / torch.where(norm > 0, norm, 1.0))
        by_coordinates = {}
        for mode, turn in result.bases.items():
            basis, triangle = pairs[mode]
            factors[mode] = (basis @ turn.to(basis.dtype)).to(core.dtype)
            by_coordinates[mode] = turn.mT if triangle is None else turn.mT @ triangle
            by_core[mode] = turn.mT if triangle is None else turn.mT @ torch.linalg.pinv(triangle).mT
            by_factor[mode] = by_coordinates[mode]
        core = mode_products(core.to(work.dtype), by_coordinates).to(core.dtype).contiguous()
    wide = {
        mode: torch.cat(
            [
                factor,
                _columns(factor, ranks[mode] - factor.shape[1], generator, zero_row if mode == 0 else None),
            ],
            1,
        )
        for mode, factor in factors.items()
        if ranks[mode] > factor.shape[1]
    }
    narrow = Tucker(core, tuple(factors.get(mode) for mode in range(core.ndim)))
    return Resized(narrow.widened(wide), error, core, by_core, by_factor)


def _orthonormal(factor: Tensor, allowed: float) -> tuple[Tensor, Tensor | None]:
    """Q and R of a factor; the factor itself and None where it is orthonormal."""
    work = factor.to(spectrum_dtype(factor))
    if float(orthonormality_defect(factor)) <= allowed:
        return work, None
    basis = orthonormalize(work)
    return basis, basis.mT @ work


def _columns(factor: Tensor, count: int, generator: torch.Generator | None, zero_row: int | None) -> Tensor:
    """Orthonormal columns that are orthogonal to those of the factor."""
    device = factor.device if generator is None else generator.device
    drawn = torch.randn(factor.shape[0], count, dtype=torch.float64, device=device, generator=generator)
    if zero_row is not None:
        drawn[zero_row] = 0
    work = factor.to(spectrum_dtype(factor))
    both = torch.cat([work, drawn.to(work)], 1)
    # QR also gives good columns where a few random ones hardly span what room there is.
    return orthonormalize(both)[:, factor.shape[1] :].to(factor.dtype)

"""How evenly directions are spread over the sphere.

Axes: n vectors, d coordinates.
"""

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.linalg._precision import spectrum_dtype

__all__ = ["hyperspherical_energy"]


def hyperspherical_energy(vectors: Tensor, power: int = 1, *, half_space: bool = False) -> Tensor:
    """Energy of vectors that repel one another on the unit sphere: ``E_s = sum over i != j of |v_i - v_j|⁻ˢ``.

    v are the vectors at length one; for s = 0 a term is ``log(1 / |v_i - v_j|)``. The less, the more evenly the
    directions are spread. Orthogonal maps keep every distance and so the energy.

    Distances are taken from differences, not from inner products, whose rounding ``1 - cos`` would magnify.

    Arguments:
        vectors: ``(n, d)``, one vector a row as in the weight of ``nn.Linear``; none of them zero.
        power: s, which is 0, 1 or 2.
        half_space: count each vector together with its opposite, so that lines repel one another, not directions;
            the sum is then over 2 n vectors.

    Returns:
        The sum over ordered pairs, a scalar in float64; infinite where two vectors have the same direction.
        Differentiable where it is finite.

    Raises:
        ShapeError: no matrix of real numbers.
        OptionError: another power, or a vector of length zero.
        NonFiniteError: NaN or infinity.

    Reference:
        Liu et al. 2018, "Learning towards Minimum Hyperspherical Energy", equations 1 and 2, section 3.3.

    Example:
        >>> import torch
        >>> float(hyperspherical_energy(torch.tensor([[3.0, 0.0], [-0.5, 0.0]])))
        1.0
    """
    if vectors.ndim != 2 or not vectors.is_floating_point():
        raise ShapeError(
            f"hyperspherical_energy: got shape {tuple(vectors.shape)} of dtype {vectors.dtype}, allowed is a real "
            "matrix (n, d); flatten a convolution's weight to one row per output."
        )
    if isinstance(power, bool) or power not in (0, 1, 2):
        raise OptionError(
            f"hyperspherical_energy: power must be 0, 1 or 2, got {power!r}; choose one of these."
        )
    work = vectors.to(spectrum_dtype(vectors))
    if not bool(work.isfinite().all()):
        raise NonFiniteError(
            "hyperspherical_energy: the vectors hold NaN or infinity; mend or drop these rows."
        )
    work = _in_range(work)
    length = torch.linalg.vector_norm(work, dim=1, keepdim=True)
    if not bool((length > 0).all()):
        raise OptionError("hyperspherical_energy: a vector of length zero has no direction; drop these rows.")
    unit = work / length
    if half_space:
        unit = torch.cat([unit, -unit])
    distances = torch.cdist(unit, unit, compute_mode="donot_use_mm_for_euclid_dist")
    count = len(unit)
    # Everything but the diagonal: without the last entry, the rows of n + 1 begin with a diagonal entry each.
    pairs = distances.flatten()[:-1].view(count - 1, count + 1)[:, 1:] if count > 1 else distances[:0]
    return -pairs.log().sum() if power == 0 else pairs.pow(-power).sum()


def _in_range(work: Tensor) -> Tensor:
    """Directions of the same rows, at lengths whose squares neither overflow nor vanish."""
    if not work.numel():
        return work
    largest = work.detach().abs().amax(1, keepdim=True)
    # Choice of this library: the squares of these bounds are far inside of float64; rows between them keep their bits.
    inside = ((largest > 1e-100) & (largest < 1e100)) | (largest == 0)
    return work / torch.where(inside, 1.0, largest)

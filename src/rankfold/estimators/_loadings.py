"""Least squares for the loadings of samples, from Gram matrices.

Axes: S samples, R components, n_2 ... n_d the dimensions of one sample.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

__all__ = ["contracted", "solved"]

Array = NDArray[np.floating]


def contracted(samples: Array, matrices: Sequence[Array]) -> Array:
    """Each sample times one outer product of columns per component, one mode after another.

    Arguments:
        samples: ``(S, n_2, ..., n_d)``.
        matrices: per mode of a sample ``(n_k, R)``.

    Returns:
        ``(S, R)``.
    """
    result = np.tensordot(samples, matrices[-1].astype(samples.dtype, copy=False), axes=1)
    for matrix in reversed(matrices[:-1]):
        result = np.einsum("...nr,nr->...r", result, matrix.astype(samples.dtype, copy=False))
    return result


def solved(grams: Array, rights: Array, *, nonnegative: bool) -> Array:
    """The loadings of least norm, or nonnegative ones, for which ``loadings @ gram`` is nearest to ``right``.

    Arguments:
        grams: ``(R, R)`` for all samples, or ``(S, R, R)``, one for each.
        rights: ``(S, R)``.
        nonnegative: whether loadings must be at least 0.

    Returns:
        ``(S, R)``, float64.
    """
    values, vectors = np.linalg.eigh(np.asarray(grams, np.float64))
    # Directions that the data do not determine: below rounding of the largest one.
    bound = values.shape[-1] * np.finfo(np.float64).eps * values.max(-1, keepdims=True, initial=0.0)
    inverse = np.where(values > bound, 1 / np.sqrt(np.where(values > bound, values, 1.0)), 0.0)
    rights = np.asarray(rights, np.float64)
    # With gram = V diag(s) Vᵀ the problem is to bring diag(√s) Vᵀ a near to diag(1/√s) Vᵀ right.
    targets = np.einsum("...rk,...r->...k", vectors, rights) * inverse
    if not nonnegative:
        return np.einsum("...rk,...k->...r", vectors, targets * inverse)
    roots = np.sqrt(np.where(values > bound, values, 0.0))
    designs = np.broadcast_to(
        roots[..., None] * np.swapaxes(vectors, -1, -2), (len(rights), *grams.shape[-2:])
    )
    pairs = zip(designs, targets, strict=True)
    return np.array([nnls(design, target)[0] for design, target in pairs]).reshape(rights.shape)

"""Population risks of two-layer networks given their random weights, in closed form.

Axes: d inputs, N neurons; weights are the rows of ``W (N, d)``. Targets are diagonal, given by their spectrum: Gaussian
weights know no direction, so nothing is lost. Risks are divided by the second moment of the target, hence 1 for the
best constant. Every model has a free offset, as has the network of the paper (its definition of a two-layer network).
"""

import math

import torch
from torch import Tensor

__all__ = [
    "mixture_features_risk",
    "mixture_network_risk",
    "mixture_tangent_risk",
    "quadratic_features_risk",
    "quadratic_network_risk",
    "quadratic_tangent_fit",
    "quadratic_tangent_risk",
    "relu_features_risk",
]


def quadratic_features_risk(weights: Tensor, spectrum: Tensor) -> float:
    """Best risk of ``c + sum a_i <w_i, x>²`` on the target ``<x, Bx>``, ``x ~ N(0, I)``.

    By the theorem of Isserlis ``Cov(<x, Ax>, <x, Bx>) = 2 <A, B>`` for symmetric A, B. The features therefore have the
    covariance ``2 <w_i, w_j>²`` and the covariance ``2 <w_i, B w_i>`` with the target, whose variance is ``2 ||B||²``.

    Arguments:
        weights: W, ``(N, d)``, N at most d(d+1)/2.
        spectrum: eigenvalues of B, ``(d,)``.

    Returns:
        The risk over that of the best constant, 0 to 1.

    Example:
        >>> eye = torch.eye(3, dtype=torch.float64)
        >>> abs(quadratic_features_risk(eye, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))) < 1e-12
        True
    """
    unit = weights / weights.norm(dim=1, keepdim=True)
    captured = _captured(2 * (unit @ unit.mT) ** 2, 2 * unit.square() @ spectrum)
    return 1 - captured / float(2 * spectrum.square().sum())


def relu_features_risk(weights: Tensor, spectrum: Tensor) -> float:
    """Best risk of ``c + sum a_i max(<w_i, x>, 0)`` on the target ``<x, Bx>``, ``x ~ N(0, I)``.

    With unit weights at the angle t the features have the second moment ``(sin t + (pi - t) cos t)/(2 pi)`` (Cho and
    Saul 2009, Kernel Methods for Deep Learning, eq. 6) and the mean ``1/sqrt(2 pi)``. Their covariance with
    ``<x, Bx>`` is ``<w, Bw> E[max(g, 0)(g² - 1)] = <w, Bw>/sqrt(2 pi)``, since only the part of B along w counts.

    Arguments:
        weights: W, ``(N, d)``; their lengths do not matter.
        spectrum: eigenvalues of B, ``(d,)``.

    Returns:
        The risk over that of the best constant, 0 to 1.
    """
    unit = weights / weights.norm(dim=1, keepdim=True)
    cosine = (unit @ unit.mT).clamp(-1, 1).fill_diagonal_(1)
    angle = torch.arccos(cosine)
    covariance = (angle.sin() + (math.pi - angle) * cosine - 1) / (2 * math.pi)
    captured = _captured(covariance, unit.square() @ spectrum / math.sqrt(2 * math.pi))
    return 1 - captured / float(2 * spectrum.square().sum())


def quadratic_tangent_risk(weights: Tensor, spectrum: Tensor) -> float:
    """Best risk of ``c + sum <w_i, x><a_i, x>`` on the target ``<x, Bx>``, ``x ~ N(0, I)``.

    The model is ``<x, Ax>`` for all symmetric A with ``PAP = 0``, where P projects on what is orthogonal to all
    weights. The nearest of them to B leaves PBP, so that the risk is ``||PBP||²/||B||²``.

    Arguments:
        weights: W, ``(N, d)``.
        spectrum: eigenvalues of B, ``(d,)``.

    Returns:
        The risk over that of the best constant, 0 to 1.
    """
    free = _orthogonal_to(weights)
    left = free.mT @ (spectrum[:, None] * free)
    return float(left.square().sum() / spectrum.square().sum())


def quadratic_tangent_fit(weights: Tensor, spectrum: Tensor) -> float:
    """The same risk from the least squares problem itself, without the projection.

    Unknown are the entries of ``a (N, d)``; every equation is an entry of ``sum (w_i a_i^T + a_i w_i^T)/2 = B`` on or
    above the diagonal, those above times sqrt(2), so that the residual is a Frobenius norm.

    Arguments:
        weights: W, ``(N, d)``, small: the matrix of the problem has ``N d`` columns.
        spectrum: eigenvalues of B, ``(d,)``.

    Returns:
        The risk over that of the best constant; 0 up to rounding where the model can represent the target.
    """
    count, size = weights.shape
    rows, columns = torch.triu_indices(size, size).unbind()
    eye = torch.eye(size, dtype=weights.dtype)
    scale = (2 - (rows == columns).to(weights.dtype)).sqrt()
    both = weights[:, rows, None] * eye[columns] + weights[:, columns, None] * eye[rows]  # N, equations, d
    system = (both * scale[:, None] / 2).transpose(0, 1).reshape(len(rows), count * size)
    target = torch.diag(spectrum)[rows, columns] * scale
    solution = torch.linalg.lstsq(system, target[:, None], driver="gelsd").solution[:, 0]
    return float((system @ solution - target).square().sum() / spectrum.square().sum())


def quadratic_network_risk(weights: Tensor, spectrum: Tensor) -> Tensor:
    """Risk of the network ``c + sum <w_i, x>²`` with the best c on ``<x, Bx>``: ``||W^T W - B||²/||B||²``.

    Arguments:
        weights: W, ``(N, d)``; may require a gradient.
        spectrum: eigenvalues of B, ``(d,)``.

    Returns:
        A scalar.
    """
    matrix = weights.mT @ weights
    return (matrix - torch.diag(spectrum)).square().sum() / spectrum.square().sum()


def mixture_features_risk(weights: Tensor, spectrum: Tensor) -> float:
    """Best risk of ``c + sum a_i <w_i, x>²`` on the label of the mixture ``x | y ~ N(0, I + y Delta)``, y = +-1.

    ``<x, Ax>`` has the mean ``tr A + y <A, Delta>`` and, averaged over y, the variance ``2 ||A||² + 2 tr(A Delta A
    Delta)`` (the terms of odd order in Delta cancel). Hence the risk of A with its best offset is ``1 - 2 <A, Delta> +
    <A, Delta>² + 2 ||A||² + 2 tr(A Delta A Delta)``. With K the form of the last two terms and v that of
    ``<A, Delta>``, the best A in a linear space leaves ``1/(1 + v^T K^-1 v)`` (Sherman and Morrison).

    Arguments:
        weights: W, ``(N, d)``.
        spectrum: eigenvalues of Delta, ``(d,)``, between -1 and 1.

    Returns:
        The mean squared error, 0 to 1.
    """
    unit = weights / weights.norm(dim=1, keepdim=True)
    form = 2 * (unit @ unit.mT) ** 2 + 2 * (unit @ (spectrum[:, None] * unit.mT)) ** 2
    return 1 / (1 + _captured(form, unit.square() @ spectrum))


def mixture_tangent_risk(weights: Tensor, spectrum: Tensor) -> float:
    """Best risk of ``c + sum <w_i, x><a_i, x>`` on the label of the mixture; see the risks of the features.

    K takes A to ``2 A + 2 Delta A Delta``; restricted to the A with ``PAP = 0`` it is solved by conjugate gradients,
    its condition number is at most ``1 + ||Delta||²``.

    Arguments:
        weights: W, ``(N, d)``.
        spectrum: eigenvalues of Delta, ``(d,)``, between -1 and 1.

    Returns:
        The mean squared error, 0 to 1.
    """
    free = _orthogonal_to(weights)

    def within(matrix: Tensor) -> Tensor:
        return matrix - free @ (free.mT @ matrix @ free) @ free.mT

    target = within(torch.diag(spectrum))
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    size = residual.square().sum()
    stop = 1e-28 * size  # 1e-14 of the target: rounding
    for _ in range(100):
        if size <= stop:
            break
        image = within(2 * direction + 2 * spectrum[:, None] * direction * spectrum)
        step = size / (direction * image).sum()
        solution = solution + step * direction
        residual = residual - step * image
        smaller = residual.square().sum()
        direction = residual + smaller / size * direction
        size = smaller
    return 1 / (1 + float((solution * target).sum()))


def mixture_network_risk(weights: Tensor, spectrum: Tensor) -> Tensor:
    """Risk of the network ``c + sum <w_i, x>²`` with the best c on the label of the mixture.

    Arguments:
        weights: W, ``(N, d)``; may require a gradient.
        spectrum: eigenvalues of Delta, ``(d,)``, between -1 and 1.

    Returns:
        A scalar.
    """
    matrix = weights.mT @ weights
    within = matrix.square() * (1 + torch.outer(spectrum, spectrum))  # ||A||² + tr(A Delta A Delta)
    return (1 - matrix.diagonal() @ spectrum) ** 2 + 2 * within.sum()


def _captured(form: Tensor, response: Tensor) -> float:
    """``v^T K^-1 v`` for a positive definite K."""
    factor = torch.linalg.cholesky(form)
    return float(torch.linalg.solve_triangular(factor, response[:, None], upper=False).square().sum())


def _orthogonal_to(weights: Tensor) -> Tensor:
    """Orthonormal columns ``(d, d - N)`` that span what is orthogonal to all weights; none from N = d on."""
    count = min(weights.shape)
    return torch.linalg.qr(weights.mT, mode="complete").Q[:, count:]

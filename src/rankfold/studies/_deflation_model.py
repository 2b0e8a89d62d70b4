"""The runs of the study of deflation: targets, what has been fitted of them, and when.

Axes: n runs, m components of the model, d = 10 dimensions, r = 5 components of the target.
"""

import math
from typing import Any

import torch
from torch import Tensor

from rankfold.decompose._deflation_flow import deflation_flow
from rankfold.decompose._homogeneous import (
    homogeneous_flow,
    homogeneous_gradient,
    homogeneous_loss,
    sphere,
)
from rankfold.decompose._symmetric_target import ComponentTarget
from rankfold.studies._records import Case, Record

__all__ = ["WEIGHTS", "dense_loss", "followed", "gram_difference", "kept", "logistic", "modified", "shrunk"]

_SIZE, _RANK, _RATIO = 10, 5, 1.2
# Weights of the target: each 1.2 times the next, with sum 1.
WEIGHTS = [_RATIO**-index / sum(_RATIO**-other for other in range(_RANK)) for index in range(_RANK)]
# Choices of this library: steps of the flow for times and for limits, steps between two looks, looks between two
# points of a curve, the weight from which on a component counts, and the cosine up to which directions differ.
_FINE, _COARSE, _LOOK, _POINT = 0.02, 0.1, 5, 5
_ALIVE, _SAME = 1e-3, 0.999
# The constants of the modified flow, which the theorem gives up to factors only; the re-initialisation threshold lies
# between the start and the smallest weight's root, the first beta above the largest weight, the last below the least.
_MODIFIED = {"weight_decay": 1e-4, "largest": 0.3, "accuracy": 0.3, "decrease": 0.2, "threshold": 1e-3}
_MODIFIED_SCALE = 1e-4
_RECOVERED = 1e-2  # relative error; a missing component alone makes more than 0.2


def _target(case: Case, generator: torch.Generator) -> ComponentTarget:
    drawn = torch.randn(case["runs"], _SIZE, _RANK, generator=generator, dtype=torch.float64)
    vectors = torch.linalg.qr(drawn).Q if case["orthogonal"] else torch.nn.functional.normalize(drawn, dim=1)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64).expand(case["runs"], _RANK)
    return ComponentTarget(vectors.mT.contiguous(), weights, case["order"])


def _start(case: Case, delta: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    vectors = sphere((case["runs"], case["m"], _SIZE), delta, generator)
    return vectors, torch.ones(vectors.shape[:2], dtype=torch.float64)


def _fitted(target: ComponentTarget, vectors: Tensor) -> Tensor:
    """The coefficient of the model along every component of an orthogonal target, ``(n, r)``."""
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return (norms.square() * (vectors / norms @ target.vectors.mT) ** target.order).sum(-2)


def _relative_error(target: ComponentTarget, vectors: Tensor) -> Tensor:
    """One per run; a difference of squares, so no better than about 1e-8."""
    loss = homogeneous_loss(target, vectors, torch.ones(vectors.shape[:-1], dtype=torch.float64))
    return (2 * loss.clamp_min(0) / target.squared_norm()).sqrt()


def _alive(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1) > _ALIVE


def _directions(vectors: Tensor) -> int:
    """Number of directions of one run's components, the heaviest first, each unlike all that were counted before."""
    weights = vectors.square().sum(-1)
    units = torch.nn.functional.normalize(vectors, dim=-1)[weights.argsort(descending=True)]
    counted = units[:0]
    for unit in units[: int(_alive(vectors).sum())]:
        if not bool(((counted @ unit).abs() > _SAME).any()):
            counted = torch.cat([counted, unit.unsqueeze(0)])
    return len(counted)


def followed(case: Case) -> Record:
    """The flow from components of norm delta: when each component of the target is half fitted, and what is then.

    Arguments:
        case: runs, m, order, orthogonal, delta, time, curve and seed.

    Returns:
        half: time at which each component is half fitted, per run, -1 for never; ahead: the fitted share of the next
        component at that time, per run; final: relative errors at the end. Both times are left out for a target that
        is not orthogonal, whose components share what is fitted. With curve: times, weights and errors of the first
        run, rounded to what a figure shows.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    target = _target(case, generator)
    sizes = target.weights
    half, ahead = torch.full_like(sizes, -1.0), torch.full_like(sizes[:, 1:], -1.0)
    curve: dict[str, list[Any]] = {"times": [], "weights": [], "errors": []}

    def look(done: int, vectors: Tensor, signs: Tensor) -> None:
        if done % _LOOK:
            return
        share = _fitted(target, vectors) / sizes
        now = (share >= 0.5) & (half < 0)
        half[now] = done * _FINE
        ahead[now[:, :-1]] = share[:, 1:][now[:, :-1]]
        if case["curve"] and done % (_LOOK * _POINT) == 0:
            curve["times"].append(round(done * _FINE, 6))
            curve["weights"].append([round(weight, 5) for weight in (share * sizes)[0].tolist()])
            curve["errors"].append(float(f"{float(_relative_error(target, vectors)[0]):.4g}"))

    vectors, signs = _start(case, case["delta"], generator)
    steps = round(case["time"] / _FINE)
    vectors, _ = homogeneous_flow(target, vectors, signs, step=_FINE, steps=steps, callback=look)
    return {
        "final": _relative_error(target, vectors).tolist(),
        **({"half": half.tolist(), "ahead": ahead.tolist()} if case["orthogonal"] else {}),
        **(curve if case["curve"] else {}),
    }


def kept(case: Case) -> Record:
    """What is left at the end of the flow.

    Arguments:
        case: runs, m, order, orthogonal, delta, steps (of 0.1) and seed.

    Returns:
        Per run the relative error, the number of components with a weight above 1e-3, the number of their directions
        (further apart than a cosine of 0.999) and the largest cosine between two components of the target.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    target = _target(case, generator)
    vectors, signs = _start(case, case["delta"], generator)
    vectors, _ = homogeneous_flow(target, vectors, signs, step=_COARSE, steps=case["steps"])
    cosines = (target.vectors @ target.vectors.mT).abs() - torch.eye(_RANK, dtype=torch.float64)
    return {
        "errors": _relative_error(target, vectors).tolist(),
        "alive": _alive(vectors).sum(-1).tolist(),
        "directions": [_directions(run) for run in vectors],
        "cosine": cosines.amax((-2, -1)).tolist(),
    }


def shrunk(case: Case) -> Record:
    """What weight decay takes off every weight in the limit, per run.

    Arguments:
        case: runs, m, order, orthogonal, delta, decay, steps (of 0.1) and seed.

    Returns:
        Target minus fitted weights.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    target = _target(case, generator)
    vectors, signs = _start(case, case["delta"], generator)
    vectors, _ = homogeneous_flow(
        target, vectors, signs, step=_COARSE, steps=case["steps"], weight_decay=case["decay"]
    )
    return {"missing": (target.weights - _fitted(target, vectors)).tolist()}


def modified(case: Case) -> Record:
    """The modified flow, which gives small components a fresh start, beside the plain one for as long.

    Arguments:
        case: runs, m, order, orthogonal and seed.

    Returns:
        Relative errors of the runs with and without re-initialisation, from the same starts with the same weight
        decay, and the number of steps.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    target = _target(case, generator)
    vectors, signs = _start(case, _MODIFIED_SCALE, generator)
    steps = 0

    def count(done: int, vectors: Tensor, signs: Tensor) -> None:
        nonlocal steps
        steps = done

    again, _ = deflation_flow(
        target,
        vectors,
        signs,
        step=_COARSE,
        scale=_MODIFIED_SCALE,
        generator=generator,
        callback=count,
        **_MODIFIED,
    )
    plain, _ = homogeneous_flow(
        target, vectors, signs, step=_COARSE, steps=steps, weight_decay=_MODIFIED["weight_decay"]
    )
    errors = {
        "with": _relative_error(target, again),
        "without": _relative_error(target, plain),
    }
    return {
        "steps": steps,
        **{f"errors {name}": values.tolist() for name, values in errors.items()},
        **{f"recovered {name}": int((values < _RECOVERED).sum()) for name, values in errors.items()},
    }


def logistic(case: Case) -> Record:
    """Largest error of the logistic law for a component that points along the target.

    With ``n = ||u||²`` the residual along it is ``n - a`` and the flow ``dn/dt = 4 n (a - n)`` for every order, so
    that ``n(t) = a / (1 + (a / n_0 - 1) exp(-4 a t))``. Integrated by the classical Runge-Kutta method.

    Arguments:
        case: weight a, start n_0, step, time and order.
    """
    weight, begun, step = case["weight"], case["start"], case["step"]
    axis = torch.eye(1, _SIZE, dtype=torch.float64)
    target = ComponentTarget(axis, torch.tensor([weight], dtype=torch.float64), case["order"])
    vectors, sign = math.sqrt(begun) * axis, torch.ones(1, dtype=torch.float64)

    def slope(vectors: Tensor) -> Tensor:
        return -homogeneous_gradient(target, vectors, sign)

    worst = 0.0
    for done in range(1, round(case["time"] / step) + 1):
        one = slope(vectors)
        two = slope(vectors + step / 2 * one)
        three = slope(vectors + step / 2 * two)
        four = slope(vectors + step * three)
        vectors = vectors + step / 6 * (one + 2 * two + 2 * three + four)
        law = weight / (1 + (weight / begun - 1) * math.exp(-4 * weight * done * step))
        worst = max(worst, abs(float(vectors.square().sum()) - law))
    return {"law error": worst}


def gram_difference(case: Case) -> Record:
    """Largest relative difference of the loss by Gram matrices and by all entries.

    Arguments:
        case: runs, d, m, r and seed; order 4.
    """
    generator = torch.Generator().manual_seed(case["seed"])
    worst = 0.0
    for _ in range(case["runs"]):
        vectors = torch.randn(case["m"], case["d"], generator=generator, dtype=torch.float64)
        parts = torch.randn(case["r"], case["d"], generator=generator, dtype=torch.float64)
        weights = torch.rand(case["r"], generator=generator, dtype=torch.float64)
        dense = dense_loss(vectors, parts, weights)
        ones = torch.ones(len(vectors), dtype=torch.float64)
        found = float(homogeneous_loss(ComponentTarget(parts, weights, 4), vectors, ones))
        worst = max(worst, abs(found / dense - 1))
    return {"gram difference": worst}


def dense_loss(vectors: Tensor, parts: Tensor, weights: Tensor) -> float:
    """``½ ||sum_i ||u_i||^(-2) u_i^(x)4 - sum_j t_j v_j^(x)4||²`` entry by entry."""
    spec = "i,ia,ib,ic,id->abcd"
    model = torch.einsum(spec, vectors.norm(dim=1) ** -2, *([vectors] * 4))
    tensor = torch.einsum(spec, weights, *([parts] * 4))
    return 0.5 * float((model - tensor).square().sum())

"""One function per guarantee of the integrators: what a case measures."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.studies._integrator_flows import (
    Path,
    adaptive_flow_error,
    flow_error,
    path_error,
    reference,
)
from rankfold.studies._integrator_problems import (
    core_in,
    decayed,
    gradients,
    moved,
    normal,
    random_tucker,
    relative,
    squared_loss,
    tangent_projection,
    unit_turn,
    widened,
)
from rankfold.studies._records import Case, Record

__all__ = ["PARTS"]

_SHAPE, _RANKS = (12, 10, 3, 3), (4, 3, 2, 2)

# Gradient descent on all factors is run at each of these and the best end counts; it diverges at the last ones.
_PLAIN_RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def _exactness(case: Case) -> Record:
    """One step from A(t) to A(t + h) of constant ranks, driven by the exact increment; bases turn at speed 1."""
    generator = torch.Generator().manual_seed(case["seed"])
    start, change = random_tucker(_SHAPE, _RANKS, generator), normal(generator, *_RANKS)
    turns = [unit_turn(n, generator) for n in _SHAPE]

    def path(time: float) -> Tensor:
        factors = [
            torch.linalg.matrix_exp(time * turn) @ u
            for turn, u in zip(turns, start.factors, strict=True)
            if u is not None
        ]
        return Tucker(start.core + time * change, tuple(factors)).to_dense()

    now, then = path(0.3), path(0.3 + case["h"])
    tucker = Tucker.from_dense(now, ranks=_RANKS).rotate()
    wide = moved(case["integrator"], tucker, now - then, 1.0)
    # The truncated HOSVD of a tangent step agrees with the path to one order more than the step itself.
    return {
        "error": relative(wide.truncate(ranks=_RANKS).to_dense(), then),
        "untruncated": relative(wide.to_dense(), then),
    }


def _nearby(decay: float, seed: int) -> tuple[Tucker, Tensor]:
    """A start and a target of rank 4 in every mode, both with singular values exactly decay^-k; bases 0.3 apart."""
    generator = torch.Generator().manual_seed(seed)
    shape, rank = (12, 10, 5, 5), 4
    core = torch.zeros([rank] * 4, dtype=torch.float64)
    for k in range(rank):
        core[k, k, k, k] = decay**-k
    bases = [torch.linalg.qr(normal(generator, n, rank)).Q for n in shape]
    turned = [torch.linalg.matrix_exp(0.3 * unit_turn(len(u), generator)) @ u for u in bases]
    return Tucker(core, tuple(turned)), Tucker(core, tuple(bases)).to_dense()


def _robustness(case: Case) -> Record:
    """Losses over the steps on 1/2 ||W - target||², relative to ||target||²."""
    start, target = _nearby(case["decay"], case["seed"])
    if case["integrator"] == "plain":
        runs = [(_plain_descent(start, target, rate, case["steps"]), rate) for rate in _PLAIN_RATES]
        losses, rate = min((run for run in runs if math.isfinite(run[0][-1])), key=lambda run: run[0][-1])
        return {"losses": losses, "rate": rate}
    rate, tucker, losses = 0.5, start, []
    for _ in range(case["steps"]):
        tucker = _fixed_rank_step(case["integrator"], tucker, target, rate)
        losses.append(squared_loss(tucker, target) / float(target.square().sum()))
    return {"losses": losses, "rate": rate}


def _fixed_rank_step(integrator: str, tucker: Tucker, target: Tensor, rate: float) -> Tucker:
    dense = tucker.to_dense() - target
    second = None
    if integrator == "fixed":
        second = widened(integrator, tucker, dense, rate).tucker.to_dense() - target
    return moved(integrator, tucker, dense, rate, second).truncate(ranks=tucker.ranks)


def _plain_descent(start: Tucker, target: Tensor, rate: float, steps: int) -> list[float]:
    """Gradient descent on the core and all factors at once, as on any other parameters."""
    parts, losses = list(start.tensors), []
    for _ in range(steps):
        tucker = Tucker(parts[0], tuple(parts[1:]))
        given = gradients(tucker, tucker.to_dense() - target)
        parts = [
            parts[0] - rate * given.core,
            *(u - rate * given.factors[m] for m, u in enumerate(parts[1:])),
        ]
        losses.append(squared_loss(Tucker(parts[0], tuple(parts[1:])), target) / float(target.square().sum()))
        if not math.isfinite(losses[-1]):
            return [math.inf]
    return losses


def _quadratic(difference: Tensor) -> tuple[float, Tensor]:
    return float(difference.square().sum()) / 2, difference


def _log_cosh(difference: Tensor) -> tuple[float, Tensor]:
    """``sum log cosh``; its second derivative ``1 / cosh²`` is at most 1."""
    # log cosh x = |x| + log(1 + e^(-2|x|)) - log 2, which does not overflow.
    size = difference.abs()
    return float((size + torch.log1p(torch.exp(-2 * size)) - math.log(2)).sum()), difference.tanh()


# Both have 1-Lipschitz gradients, which the bounds of _descent assume.
_LOSSES: dict[str, Callable[[Tensor], tuple[float, Tensor]]] = {
    "quadratic": _quadratic,
    "log-cosh": _log_cosh,
}


def _descent(case: Case) -> Record:
    """Both bounds of the descent theorem along a run of augmented steps.

    With a 1-Lipschitz gradient G and P the projection on the widened bases, a core step of length r from W gives
    ``L(W - r P G) <= L(W) - r (1 - r/2) ||P G||²``; a truncation that takes at most c from W then costs at most
    ``||G|| c + c²/2`` (both the descent lemma, Nesterov 2004, lemma 1.2.3).
    """
    generator = torch.Generator().manual_seed(case["seed"])
    loss, rate, tolerance = _LOSSES[case["loss"]], case["rate"], case["tolerance"]
    target = _halving(_SHAPE, generator)
    tucker = random_tucker(_SHAPE, (3, 3, 2, 2), generator)
    rounding = 1e-14 * float(target.square().sum())
    losses, violations, rises = [loss(tucker.to_dense() - target)[0]], 0, []
    for _ in range(case["steps"]):
        before, dense = loss(tucker.to_dense() - target)
        wide = moved("augmented", tucker, dense, rate)
        inside = float(core_in(wide, dense).square().sum())
        after, slope = loss(wide.to_dense() - target)
        tucker = wide.truncate(tolerance=tolerance)
        end = loss(tucker.to_dense() - target)[0]
        cut = tolerance * float(wide.core.norm())
        violations += after > before - rate * (1 - rate / 2) * inside + rounding
        violations += end > after + float(slope.norm()) * cut + cut**2 / 2 + rounding
        rises.append(end - before)
        losses.append(end)
    largest = max(rises)
    return {
        "losses": losses,
        "violations": violations,
        "rises": sum(rise > rounding for rise in rises),
        "largest_rise": largest / losses[0],
    }


def _riemannian(case: Case) -> Record:
    """Distance of one step before truncation to ``W - r P_T(W) G``, relative to ||W||."""
    generator = torch.Generator().manual_seed(case["seed"])
    tucker, dense = random_tucker(_SHAPE, _RANKS, generator), normal(generator, *_SHAPE)
    expected = tucker.to_dense() - case["rate"] * tangent_projection(tucker, dense)
    return {"error": relative(moved(case["integrator"], tucker, dense, case["rate"]).to_dense(), expected)}


def _truncation(case: Case) -> Record:
    """What truncation takes as a share of tau ||W||: with tau shared among the modes, and with tau in each mode."""
    generator = torch.Generator().manual_seed(case["seed"])
    shape = tuple(case["shape"])
    tensor = normal(generator, *shape) if case["tensor"] == "noise" else _halving(shape, generator)
    tucker = Tucker.from_dense(tensor, tolerance=0.0)
    allowed = case["tolerance"] * float(tucker.norm())

    def share(tolerance: float) -> float:
        return float((tucker.truncate(tolerance=tolerance).to_dense() - tucker.to_dense()).norm()) / allowed

    # truncate() gives each of d modes tolerance / sqrt(d); asking for sqrt(d) times as much is tau in each.
    return {"shared": share(case["tolerance"]), "unshared": share(case["tolerance"] * math.sqrt(len(shape)))}


def _halving(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return decayed(random_tucker(shape, shape, generator), 2.0).to_dense()


def _precision(case: Case) -> Record:
    """The part of span[U, G V] outside float32 bases: ours, and [U | dL/dU] of a core that is not in HOSVD form."""
    generator = torch.Generator().manual_seed(case["seed"])

    def orthonormal(rows: int, columns: int) -> Tensor:
        return torch.linalg.qr(normal(generator, rows, columns)).Q

    values = torch.logspace(0, math.log10(case["smallest"]), 8, dtype=torch.float64)
    core = orthonormal(8, 8) * values @ orthonormal(8, 8).mT
    left, right = orthonormal(64, 8).float(), orthonormal(48, 8).float()
    dense = normal(generator, 64, 48)
    tucker = Tucker(core.float(), (left, right))
    exact = torch.linalg.qr(torch.cat([left.double(), dense @ right.double()], dim=1)).Q

    def outside(basis: Tensor) -> float:
        basis = torch.linalg.qr(basis.double()).Q
        return float(torch.linalg.matrix_norm(exact - basis @ (basis.mT @ exact), ord=2))

    ours = widened("augmented", tucker.rotate(), dense.float(), 0.1).tucker.factors[0]
    assert ours is not None
    given = gradients(tucker, dense.float()).factors[0]
    raw = torch.linalg.qr(torch.cat([left, given], dim=1)).Q
    return {"ours": outside(ours), "raw": outside(raw)}


def _growth(case: Case) -> Record:
    """From rank 2 towards a target whose singular values halve; sums of ranks over the steps, and the loss."""
    generator = torch.Generator().manual_seed(case["seed"])
    target = _halving(_SHAPE, generator)
    target = target / target.norm()
    tucker, sums = random_tucker(_SHAPE, (2, 2, 2, 2), generator), [8]
    for _ in range(case["steps"]):
        wide = moved(case["integrator"], tucker, tucker.to_dense() - target, 0.5)
        tucker = wide.truncate(tolerance=case["tolerance"])
        sums.append(sum(tucker.ranks))
    return {"ranks": list(tucker.ranks), "sums": sums, "loss": squared_loss(tucker, target)}


def _order(case: Case) -> Record:
    fine, seed = case["reference_steps"], case["seed"]
    uncertain = relative(reference(seed, fine // 2), reference(seed, fine))
    return {"error": flow_error(case["integrator"], case["steps"], seed, fine), "uncertain": uncertain}


def _path(case: Case) -> Record:
    path = Path.draw(case["decay"], case["eps"], case["seed"])
    error = path_error(case["integrator"], path, case["steps"])
    # A diverged run counts with a number that every axis can show.
    return {"error": min(error, 1e12) if math.isfinite(error) else 1e12}


def _schedule(case: Case) -> Record:
    length = case["time"] / case["steps"]
    tolerance = case["factor"] * length ** case["power"]
    error, bound, ranks = adaptive_flow_error(
        "augmented", tolerance, case["steps"], case["time"], case["seed"]
    )
    return {"tolerance": tolerance, "error": error, "bound": bound, "ranks": list(ranks)}


PARTS: dict[str, Callable[[Case], Record]] = {
    "exactness": _exactness,
    "robustness": _robustness,
    "descent": _descent,
    "riemannian": _riemannian,
    "truncation": _truncation,
    "precision": _precision,
    "growth": _growth,
    "order": _order,
    "path": _path,
    "schedule": _schedule,
}

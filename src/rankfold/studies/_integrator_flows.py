"""Paths and flows with known or finely computed solutions, and integrators that follow them with steps of length h."""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, sin

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import unfold
from rankfold.studies._integrator_problems import (
    core_in,
    decayed,
    moved,
    normal,
    random_tucker,
    relative,
    tangent_projection,
    unit_turn,
    widened,
)

__all__ = ["Path", "adaptive_flow_error", "flow_error", "flow_problem", "path_error", "reference"]

_SHAPE = (12, 10, 6, 5)
_RANKS = (4, 3, 3, 2)


@dataclass(frozen=True, eq=False)
class Path:
    """``A(t) = X(t) + eps N(t)``: X of rank 4 in every mode with singular values that fall like decay^-k.

    N is of norm 1, ``X(t) = C(t) x_i exp(t O_i) U_i`` with superdiagonal ``c_k(t) = decay^-k (1 + sin(t + k)/2)`` and
    skew O_i of norm 1, ``N(t) = cos(t) N_1 + sin(t) N_2``. How fast anything moves does not depend on the decay.
    """

    decay: float
    eps: float
    bases: tuple[Tensor, ...]
    turns: tuple[Tensor, ...]
    noise: tuple[Tensor, Tensor]

    @classmethod
    def draw(
        cls, decay: float, eps: float, seed: int, shape: tuple[int, ...] = (12, 10, 6), rank: int = 4
    ) -> "Path":
        """A random path; the same bases, turns and noise for every decay and eps."""
        generator = torch.Generator().manual_seed(seed)
        bases = tuple(torch.linalg.qr(normal(generator, n, rank)).Q for n in shape)
        turns = tuple(unit_turn(n, generator) for n in shape)
        first, second = (normal(generator, *shape) for _ in range(2))
        return cls(decay, eps, bases, turns, (first / first.norm(), second / second.norm()))

    def _diagonal(self, values: list[float]) -> Tensor:
        order, rank = len(self.bases), self.bases[0].shape[1]
        core = torch.zeros([rank] * order, dtype=torch.float64)
        for k, value in enumerate(values):
            core[(k,) * order] = value * self.decay**-k
        return core

    def low_rank(self, time: float) -> Tucker:
        """X(t)."""
        rank = self.bases[0].shape[1]
        core = self._diagonal([1 + sin(time + k) / 2 for k in range(rank)])
        turned = [torch.linalg.matrix_exp(time * o) @ u for o, u in zip(self.turns, self.bases, strict=True)]
        return Tucker(core, tuple(turned))

    def value(self, time: float) -> Tensor:
        """A(t)."""
        noise = cos(time) * self.noise[0] + sin(time) * self.noise[1]
        return self.low_rank(time).to_dense() + self.eps * noise

    def velocity(self, time: float) -> Tensor:
        """A'(t), by the product rule."""
        rank = self.bases[0].shape[1]
        now = self.low_rank(time)
        result = Tucker(self._diagonal([cos(time + k) / 2 for k in range(rank)]), now.factors).to_dense()
        for mode, turn in enumerate(self.turns):
            result = result + now.mode_products({mode: turn}).to_dense()
        return result + self.eps * (cos(time) * self.noise[1] - sin(time) * self.noise[0])


def path_error(integrator: str, path: Path, steps: int) -> float:
    """``||Y_n - A(1)||`` after steps of length h = 1/n along ``Y' = A'(t)``, each with the velocity at its beginning.

    ``factor-euler`` is Euler's method on the equations of core and factors, ``C' = F x_i U_iᵀ`` and ``U_i' =
    (I - U_i U_iᵀ) Mat_i(F x_{j != i} U_jᵀ) Mat_i(C)^+`` (Koch and Lubich 2010): its pseudo-inverse is what the
    integrators avoid.
    """
    length = 1 / steps
    tucker = path.low_rank(0.0).rotate()
    ranks = tucker.ranks
    for number in range(steps):
        velocity = path.velocity(number * length)
        if integrator == "factor-euler":
            tucker = _factor_euler(tucker, velocity, length)
        else:
            tucker = moved(integrator, tucker, -velocity, length).truncate(ranks=ranks)
    return float((tucker.to_dense() - path.value(1.0)).norm())


def _factor_euler(tucker: Tucker, velocity: Tensor, length: float) -> Tucker:
    core = tucker.core + length * core_in(tucker, velocity)
    factors = []
    for mode, factor in enumerate(tucker.factors):
        assert factor is not None
        others = Tucker(tucker.core, tuple(None if m == mode else f for m, f in enumerate(tucker.factors)))
        flat = unfold(core_in(others, velocity), mode)
        outside = flat - factor @ (factor.mT @ flat)
        factors.append(factor + length * outside @ torch.linalg.pinv(unfold(tucker.core, mode)))
    return Tucker(core, tuple(factors)).orthonormalize()


@lru_cache
def flow_problem(seed: int) -> tuple[Tucker, Tensor]:
    """Start of ranks (4, 3, 3, 2) and a target of full ranks whose singular values halve; both of norm 1."""
    generator = torch.Generator().manual_seed(seed)
    target = decayed(random_tucker(_SHAPE, _SHAPE, generator), 2.0).to_dense()
    start = random_tucker(_SHAPE, _RANKS, generator)
    return Tucker(start.core / start.core.norm(), start.factors), target / target.norm()


@lru_cache
def reference(seed: int, steps: int) -> Tensor:
    """Solution at time 1 of ``Y' = -P_T(Y)(Y - A)`` at fixed ranks, by the classical Runge-Kutta method of order 4.

    The field is extended off the manifold through the truncated HOSVD, so that stages may leave it.
    """
    start, target = flow_problem(seed)

    def slope(dense: Tensor) -> Tensor:
        tucker = Tucker.from_dense(dense, ranks=_RANKS)
        return -tangent_projection(tucker, tucker.to_dense() - target)

    now, length = start.to_dense(), 1 / steps
    for _ in range(steps):
        first = slope(now)
        second = slope(now + length / 2 * first)
        third = slope(now + length / 2 * second)
        fourth = slope(now + length * third)
        now = now + length / 6 * (first + 2 * second + 2 * third + fourth)
    return Tucker.from_dense(now, ranks=_RANKS).to_dense()


def flow_error(integrator: str, steps: int, seed: int, reference_steps: int) -> float:
    """Relative distance from the projected flow's solution after ``steps`` gradient steps of length 1/steps."""
    tucker, target = flow_problem(seed)
    length = 1 / steps
    for _ in range(steps):
        dense = tucker.to_dense() - target
        second = None
        if integrator == "fixed":
            second = widened(integrator, tucker, dense, length).tucker.to_dense() - target
        tucker = moved(integrator, tucker, dense, length, second).truncate(ranks=_RANKS)
    return relative(tucker.to_dense(), reference(seed, reference_steps))


def adaptive_flow_error(
    integrator: str, tolerance: float, steps: int, time: float, seed: int
) -> tuple[float, float, tuple[int, ...]]:
    """Follow ``W' = A - W`` from rank 2 with truncation to a tolerance, against ``W(t) = A + e^-t (W_0 - A)``.

    One step gives ``Y - h P G + t`` with G = Y - A, P the projection on the widened bases and t what truncation takes.
    The error e to Euler's method on the whole space obeys ``e <- (1 - h) e + h (I - P) G + t``, so that with the error
    of Euler's method added

        ||Y_N - W(hN)|| <= sum_n (1 - h)^(N-1-n) (h ||(I - P_n) G_n|| + tau ||C_n||)
                           + |(1 - h)^N - e^(-hN)| ||W_0 - A||,

    which is ``c1 eps + c3 tau / h + c2 h`` with constants that know nothing of singular values.

    Returns:
        The error, this bound, and the ranks at the end.
    """
    _, target = flow_problem(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    tucker = random_tucker(_SHAPE, (2, 2, 2, 2), generator)
    tucker = Tucker(tucker.core / tucker.core.norm(), tucker.factors)
    start, length, bound = tucker.to_dense(), time / steps, 0.0
    for _ in range(steps):
        dense = tucker.to_dense() - target
        wide = moved(integrator, tucker, dense, length)
        taken = (tucker.to_dense() - wide.to_dense()) / length
        tucker = wide.truncate(tolerance=tolerance)
        lost = length * float((dense - taken).norm()) + tolerance * float(wide.core.norm())
        bound = (1 - length) * bound + lost
    decay = float(torch.exp(torch.tensor(-time, dtype=torch.float64)))
    exact = target + decay * (start - target)
    euler = abs((1 - length) ** steps - decay) * float((start - target).norm())
    return float((tucker.to_dense() - exact).norm()), bound + euler, tucker.ranks

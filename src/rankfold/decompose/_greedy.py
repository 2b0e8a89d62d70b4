"""Deflation with joint refinement: one component after another, all of them moving.

Axes: n_i dimensions, R components, S starts.
"""

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._joint import improve
from rankfold.decompose._methods import METHODS, Method, Settings

__all__ = ["grow", "rank_one", "solve"]

# Choice of this library: best of 5 starts, 30 power iterations, 8 joint steps.
_STARTS = 5
_POWER_ITERATIONS = 30
_JOINT_STEPS = 8


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP by greedy deflation: the best rank-one piece of the residual, then Levenberg-Marquardt on all so far.

    The exact best rank-one approximation does not lower the rank of what is left (Stegeman and Comon 2010), hence
    the joint refinement.

    Reference:
        Ge, Ren, Wang and Zhou 2021, "Understanding deflation process in over-parametrized tensor decomposition".
    """
    factors: list[Tensor] = []
    while not factors or factors[0].shape[1] < rank:
        factors = grow(data, factors, settings)
    return refine(
        data,
        factors,
        settings,
        iterations=settings.max_iterations,
        tolerance=settings.tolerance,
        name="greedy",
    )


def grow(data: Data, factors: list[Tensor], settings: Settings, *, name: str = "greedy") -> list[Tensor]:
    """One component more, found in the residual and refined together with the others.

    Arguments:
        data: what to fit.
        factors: ``(n_i, k)`` per mode, or an empty list.
        settings: passed to the refinement.
        name: for the trace.

    Returns:
        Balanced factors ``(n_i, k + 1)``.
    """
    new = rank_one(data, factors, settings.generator, nonnegative=settings.nonnegative)
    wider = [torch.cat([old, add], dim=1) for old, add in zip(factors, new, strict=True)] if factors else new
    return improve(data, wider, settings, steps=_JOINT_STEPS, name=name)


def rank_one(
    data: Data, factors: list[Tensor], generator: torch.Generator, *, nonnegative: bool = False
) -> list[Tensor]:
    """The largest rank-one piece of the residual that power iteration finds from several starts.

    Arguments:
        data: what to fit.
        factors: the model so far, or an empty list.
        generator: draws the starts, on the CPU.
        nonnegative: only non-negative vectors.

    Returns:
        One ``(n_i, 1)`` per mode, its size spread over them.

    Reference:
        De Lathauwer, De Moor and Vandewalle 2000, "On the best rank-1 and rank-(R1, ..., RN) approximation of
        higher-order tensors", the higher-order power method.
    """
    probes = []
    for size in data.shape:
        probe = torch.randn(size, _STARTS, generator=generator, dtype=torch.float64)
        probe = probe.abs() if nonnegative else probe
        probes.append(torch.nn.functional.normalize(probe, dim=0).to(device=data.device, dtype=data.dtype))
    sizes = torch.zeros(_STARTS)
    contract = data.probe(factors)
    for _ in range(_POWER_ITERATIONS):
        for mode in range(len(probes)):
            image = contract(probes, mode)
            image = image.clamp_min(0) if nonnegative else image
            sizes = torch.linalg.vector_norm(image, dim=0)
            probes[mode] = torch.where(
                sizes > 0, image / sizes.clamp_min(torch.finfo(image.dtype).tiny), probes[mode]
            )
    best = int(sizes.argmax())
    scale = float(sizes[best]) ** (1 / len(probes))
    return [probe[:, best : best + 1] * scale for probe in probes]


METHODS.add(
    Method(
        name="greedy",
        solve=solve,
        summary="Deflation with joint refinement: rank-one pieces of the residual, then Levenberg-Marquardt on all.",
        source="Ge, Ren, Wang and Zhou 2021",
        takes=frozenset({"masked", "sparse", "nonnegative", "sharded"}),
    )
)

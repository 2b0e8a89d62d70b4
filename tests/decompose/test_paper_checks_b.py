"""Checks B1 to B7: Ge, Ren, Wang, Zhou 2021, "Understanding Deflation Process in Over-parametrized Tensor
Decomposition".

Five orthonormal components in ten dimensions, order 4, weights falling by 1.2 each and summing to 1.
"""

import math
from functools import cache

import pytest
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

SIZE, RANK, ORDER = 10, 5, 4


def _weights() -> Tensor:
    weights = 1.2 ** -torch.arange(RANK, dtype=torch.float64)
    return weights / weights.sum()


def _target(runs: int, generator: torch.Generator, *, orthogonal: bool = True) -> ComponentTarget:
    drawn = torch.randn(runs, SIZE, RANK, generator=generator, dtype=torch.float64)
    vectors = torch.linalg.qr(drawn).Q.mT if orthogonal else torch.nn.functional.normalize(drawn, dim=1).mT
    return ComponentTarget(vectors, _weights().expand(runs, RANK), ORDER)


def _fitted(target: ComponentTarget, vectors: Tensor) -> Tensor:
    """The model's coefficient along every component of an orthogonal target."""
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return (norms.square() * (vectors / norms @ target.vectors.mT) ** ORDER).sum(-2)


def _relative(target: ComponentTarget, vectors: Tensor) -> Tensor:
    loss = homogeneous_loss(target, vectors, torch.ones(vectors.shape[:-1], dtype=torch.float64))
    return (2 * loss.clamp_min(0) / target.squared_norm()).sqrt()


@cache
def _half_times(delta: float) -> Tensor:
    """When every component is half fitted, (runs, RANK); two runs of 50 components."""
    step, every = 0.02, 5
    generator = torch.Generator().manual_seed(3)
    target = _target(2, generator)
    half = torch.full((2, RANK), -1.0, dtype=torch.float64)

    def watch(done: int, vectors: Tensor, signs: Tensor) -> bool:
        if done % every == 0:
            half[(_fitted(target, vectors) >= _weights() / 2) & (half < 0)] = done * step
        return bool((half >= 0).all())

    start = sphere((2, 50, SIZE), delta, generator)
    homogeneous_flow(target, start, torch.ones(2, 50).double(), step=step, steps=6000, callback=watch)
    assert (half >= 0).all()
    return half


@pytest.mark.parametrize("delta", [1e-3, 1e-5])
def test_b1_larger_components_come_first(delta: float) -> None:
    assert (_half_times(delta).diff(dim=1) > 0).all()


def test_b2_time_to_fit_grows_with_the_logarithm_of_the_start() -> None:
    rise = (_half_times(1e-5) - _half_times(1e-3)) * _weights()
    slope = rise / math.log(1e-3 / 1e-5)
    assert (slope - 0.5).abs().max() < 0.03


@pytest.mark.parametrize("decay", [0.01, 0.03])
def test_b3_weight_decay_is_soft_thresholding(decay: float) -> None:
    generator = torch.Generator().manual_seed(4)
    target = _target(2, generator)
    start = sphere((2, 50, SIZE), 1e-4, generator)
    vectors, _ = homogeneous_flow(
        target, start, torch.ones(2, 50).double(), step=0.1, steps=3000, weight_decay=decay
    )
    shrunk = _weights() - _fitted(target, vectors)
    assert (shrunk - decay / 2).abs().max() < 1e-4


def test_b4_an_aligned_component_grows_by_the_logistic_law() -> None:
    size, begun, step = 0.7, 1e-3, 1e-3
    axis = torch.eye(1, SIZE, dtype=torch.float64)
    target = ComponentTarget(axis, torch.tensor([size], dtype=torch.float64), ORDER)
    vectors, sign = math.sqrt(begun) * axis, torch.ones(1, dtype=torch.float64)

    def slope(vectors: Tensor) -> Tensor:
        return -homogeneous_gradient(target, vectors, sign)

    for done in range(1, 5001):
        one = slope(vectors)
        two = slope(vectors + step / 2 * one)
        three = slope(vectors + step / 2 * two)
        four = slope(vectors + step * three)
        vectors = vectors + step / 6 * (one + 2 * two + 2 * three + four)
        if done % 500 == 0:
            law = size / (1 + (size / begun - 1) * math.exp(-4 * size * done * step))
            assert abs(float(vectors.square().sum()) - law) < 1e-9


def test_b5_loss_from_gram_matrices_is_the_dense_one() -> None:
    generator = torch.Generator().manual_seed(5)
    vectors = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    parts = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    spec = "i,ia,ib,ic,id->abcd"
    model = torch.einsum(spec, vectors.norm(dim=1) ** -2, *([vectors] * 4))
    tensor = torch.einsum(spec, weights, *([parts] * 4))
    dense = 0.5 * (model - tensor).square().sum()
    found = homogeneous_loss(ComponentTarget(parts, weights, 4), vectors, torch.ones(7).double())
    assert abs(float(found / dense) - 1) < 1e-10


def test_b6_orthogonal_targets_are_recovered() -> None:
    generator = torch.Generator().manual_seed(6)
    target = _target(3, generator)
    start = sphere((3, 50, SIZE), 1e-4, generator)
    vectors, _ = homogeneous_flow(target, start, torch.ones(3, 50).double(), step=0.1, steps=8000)
    assert _relative(target, vectors).max() < 1e-6


def test_b6_epochs_of_the_modified_flow_recover_the_target() -> None:
    generator = torch.Generator().manual_seed(8)
    target = _target(5, generator)
    steps = []
    vectors, _ = deflation_flow(
        target,
        sphere((5, 15, SIZE), 1e-4, generator),
        torch.ones(5, 15).double(),
        step=0.1,
        weight_decay=1e-4,
        largest=0.3,
        accuracy=0.3,
        decrease=0.2,
        threshold=1e-3,
        scale=1e-4,
        generator=generator,
        callback=lambda done, vectors, signs: steps.append(done),
    )
    assert steps == sorted(steps)
    # All weights are short of the target's by lambda / 2, unless a component was never found.
    assert _relative(target, vectors).max() < 1e-3


def test_b7_without_orthogonality_more_components_stay_than_are_there() -> None:
    generator = torch.Generator().manual_seed(7)
    target = _target(3, generator, orthogonal=False)
    start = sphere((3, 50, SIZE), 1e-4, generator)
    vectors, _ = homogeneous_flow(target, start, torch.ones(3, 50).double(), step=0.1, steps=6000)
    assert _relative(target, vectors).max() < 1e-2
    alive = (vectors.square().sum(-1) > 1e-3).sum(-1)
    assert (alive > 2 * RANK).all()

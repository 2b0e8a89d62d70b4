"""Checks E1, E2, E3, E7 and E8 of the maps to orthogonal matrices, and what they refuse."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.linalg import (
    ORTHOGONAL_MAPS,
    cayley,
    gram_schmidt,
    householder,
    hyperspherical_energy,
    loewdin,
    newton_schulz,
    orthonormality_defect,
)

MAPS = {name: record.build for name, record in ORTHOGONAL_MAPS.items() if name != "direct"}
FACTORS = {name: build for name, build in MAPS.items() if name != "cayley"}  # these refuse singular matrices

every_map = pytest.mark.parametrize("build", MAPS.values(), ids=MAPS)
every_factor = pytest.mark.parametrize("build", FACTORS.values(), ids=FACTORS)


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@every_map
@pytest.mark.parametrize("size", [1, 2, 7, 27, 144])
def test_orthogonal_in_float32(build, size: int) -> None:  # E1
    for seed in range(3):
        result = build(random(size, size, dtype=torch.float32, seed=seed))
        assert result.dtype == torch.float32
        defect = result.double() @ result.double().mT - torch.eye(size, dtype=torch.float64)
        assert defect.abs().max() <= 1e-5


@given(st.integers(1, 12), st.integers(-30, 30), st.integers(0, 10**6), st.sampled_from(sorted(FACTORS)))
def test_orthogonal_at_every_size_and_scale(size: int, exponent: int, seed: int, name: str) -> None:
    matrix = random(size, size, seed=seed)
    condition = float(torch.linalg.cond(matrix))
    assume(condition < 1e10)
    result = FACTORS[name](matrix * 10.0**exponent)
    # A product of d reflections or rotations with inner products of d terms.
    assert orthonormality_defect(result) <= 16 * size * torch.finfo(torch.float64).eps
    # The factor does not depend on the scale; rounding of 10^k turns the weakest direction.
    moved = (result - FACTORS[name](matrix)).abs().max()
    assert moved <= 16 * size * condition * torch.finfo(torch.float64).eps


@given(st.integers(1, 12), st.integers(-30, 6), st.integers(0, 10**6))
def test_cayley_at_every_size_and_scale(size: int, exponent: int, seed: int) -> None:
    matrix = random(size, size, seed=seed) * 10.0**exponent
    skew = matrix.triu(1) - matrix.triu(1).mT
    length = float(torch.linalg.matrix_norm(skew, 2))
    result = cayley(matrix)
    # Backward stable solves leave d eps times the condition number of I - A, which is at most sqrt(1 + |A|²).
    rounding = 16 * size * torch.finfo(torch.float64).eps * math.hypot(1, length)
    assert orthonormality_defect(result) <= rounding
    # E7: no eigenvalue comes nearer to -1 than 2 / sqrt(1 + |A|²).
    distances = (torch.linalg.eigvals(result) + 1).abs()
    assert distances.min() >= 2 / math.hypot(1, length) - rounding
    assert abs(float(torch.linalg.det(result)) - 1) <= size * rounding


@every_factor
def test_other_maps_reach_reflections(build) -> None:  # E7
    matrix = random(5, 5)
    for sign in (1.0, -1.0):
        flipped = torch.cat([sign * matrix[:1], matrix[1:]])
        determinant = torch.linalg.det(build(flipped))
        assert abs(float(determinant) - float(torch.linalg.det(flipped).sign())) <= 1e-13


def test_cayley_has_the_documented_sign() -> None:
    upper = random(6, 6)
    skew, eye = upper.triu(1) - upper.triu(1).mT, torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(cayley(upper), (eye + skew) @ torch.linalg.inv(eye - skew))
    torch.testing.assert_close(cayley(-upper), cayley(upper).mT)
    small = cayley(1e-6 * upper)
    torch.testing.assert_close((small - eye) / 2e-6, skew, rtol=0, atol=1e-4)  # R = I + 2A + ...
    layer = torch.nn.utils.parametrizations.orthogonal(
        torch.nn.Linear(6, 6, bias=False).double(), orthogonal_map="cayley", use_trivialization=False
    )
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(
            -2 * upper.mT
        )  # torch reads below the diagonal, and A / 2
    torch.testing.assert_close(layer.weight, cayley(upper))


def test_every_factor_is_what_its_formula_says() -> None:
    matrix = random(9, 9)
    rows, columns, nearest = gram_schmidt(matrix), householder(matrix), loewdin(matrix)
    lower, upper = matrix @ rows.mT, columns.mT @ matrix
    for triangle in (lower, upper.mT):
        assert triangle.triu(1).abs().max() <= 1e-13
        assert triangle.diagonal().min() > 0
    stretch = nearest.mT @ matrix
    assert (stretch - stretch.mT).abs().max() <= 1e-13
    assert torch.linalg.eigvalsh(stretch).min() > 0
    torch.testing.assert_close(rows, householder(matrix.mT).mT)


@given(st.integers(2, 10), st.integers(0, 10**6))
def test_loewdin_is_the_nearest(size: int, seed: int) -> None:  # E3
    matrix = random(size, size, seed=seed)
    nearest = torch.linalg.matrix_norm(matrix - loewdin(matrix))
    for build in (gram_schmidt, householder, cayley):
        assert nearest <= torch.linalg.matrix_norm(matrix - build(matrix)) + 1e-12


def test_loewdin_where_lapack_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, calls, original = random(2, 5, 5), [], torch.linalg.svd

    def stubborn(argument: Tensor) -> tuple[Tensor, ...]:
        calls.append(argument)
        if len(calls) == 1:
            raise torch.linalg.LinAlgError("did not converge")
        return original(argument)

    wanted = loewdin(matrix)
    monkeypatch.setattr(torch.linalg, "svd", stubborn)
    torch.testing.assert_close(loewdin(matrix), wanted)
    assert len(calls) == 2
    calls.clear()
    assert torch.autograd.gradcheck(loewdin, matrix.requires_grad_())


@pytest.mark.parametrize("size", [1, 5, 16, 48])
def test_newton_schulz_is_loewdin(size: int) -> None:  # E3
    for seed in range(5):
        matrix = random(size, size, seed=seed)
        assert torch.linalg.cond(matrix) < 1e4 / size**0.5  # the docstring's range, from the Frobenius norm
        assert (newton_schulz(matrix, 30) - loewdin(matrix)).abs().max() <= 1e-10


def test_newton_schulz_reaches_what_it_says() -> None:
    values = torch.tensor([1.0, 1e-2, 1e-4], dtype=torch.float64)
    assert torch.linalg.svdvals(newton_schulz(values.diag()))[-1] >= 1 - 1e-10
    assert torch.linalg.svdvals(newton_schulz(values.diag() ** 2))[-1] < 0.5
    assert not newton_schulz(torch.zeros(3, 3)).any()
    big = torch.tensor([[3e38, 0.0], [1e38, 2e38]])
    assert orthonormality_defect(newton_schulz(big)) <= 1e-6


def test_newton_schulz_falls_to_the_polar_factor_step_by_step() -> None:
    matrix = random(8, 8)
    errors = [float((newton_schulz(matrix, k) - loewdin(matrix)).norm()) for k in range(1, 20)]
    assert all(late <= early + 1e-14 for early, late in pairwise(errors))


@every_map
def test_gradients(build) -> None:  # E8; gradcheck's own tolerances are tighter than 1e-4
    matrix = random(5, 5).requires_grad_()
    assert torch.autograd.gradcheck(build, matrix)
    assert torch.autograd.gradcheck(build, random(2, 3, 3, seed=3).requires_grad_())
    start = torch.eye(4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(build, start)  # equal singular values


@pytest.mark.parametrize("build", [cayley, gram_schmidt, householder, lambda m: newton_schulz(m, 12)])
def test_second_gradients(build) -> None:
    assert torch.autograd.gradgradcheck(build, random(3, 3).requires_grad_())


def test_gradient_of_newton_schulz() -> None:
    matrix = random(4, 4).requires_grad_()
    assert torch.autograd.gradcheck(newton_schulz, matrix)
    weights = random(4, 4, seed=1)
    (one,) = torch.autograd.grad((newton_schulz(matrix) * weights).sum(), matrix)
    (two,) = torch.autograd.grad((loewdin(matrix) * weights).sum(), matrix)
    torch.testing.assert_close(one, two)


@every_map
def test_batches_are_single_calls(build) -> None:
    batch = random(2, 3, 4, 4)
    together = build(batch)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], build(batch[i, j]), rtol=0, atol=1e-13)
    assert build(torch.zeros(0, 4, 4)).shape == (0, 4, 4)
    assert build(torch.zeros(2, 0, 0)).shape == (2, 0, 0)


@every_map
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_factorised_in_float32(build, dtype: torch.dtype) -> None:
    result = build(random(20, 20).to(dtype))
    assert result.dtype == torch.float32
    assert orthonormality_defect(result) <= 1e-5


@pytest.mark.parametrize("record", ORTHOGONAL_MAPS.values(), ids=ORTHOGONAL_MAPS)
def test_the_start_is_the_identity(record) -> None:
    eye = torch.eye(6)
    assert torch.equal(record.build(record.start(eye)), eye)


@every_map
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_refused(build, value: float) -> None:
    matrix = torch.eye(3)
    matrix[0, 2] = value
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        build(matrix)


@pytest.mark.parametrize("build", [*MAPS.values(), newton_schulz])
@pytest.mark.parametrize(
    "matrix", [torch.zeros(3), torch.zeros(2, 3), torch.eye(3).long(), torch.eye(2).cfloat()]
)
def test_no_square_real_matrix_is_refused(build, matrix: Tensor) -> None:
    with pytest.raises(ShapeError, match="square"):
        build(matrix)


@every_factor
def test_singular_matrices_are_refused(build) -> None:
    matrix = random(4, 4)
    dependent = matrix.clone()
    dependent[3] = dependent[:3].sum(0)
    same = matrix.clone()
    same[:, 2] = same[:, 0]
    for singular in (torch.zeros(4, 4), torch.ones(4, 4), dependent, same, torch.stack([matrix, same])):
        with pytest.raises(RankError, match="singular to rounding"):
            build(singular)


@pytest.mark.parametrize("iterations", [0, -1, 2.0, True])
def test_iterations_are_counted_from_one(iterations) -> None:
    with pytest.raises(OptionError, match="whole number from 1"):
        newton_schulz(torch.eye(2), iterations)


def energy(vectors: Tensor, power: int) -> float:
    """The definition, pair by pair."""
    unit = [row / row.norm() for row in vectors.double()]
    distances = [float((a - b).norm()) for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j]
    return sum(-math.log(r) if power == 0 else r**-power for r in distances)


@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([0, 1, 2]), st.integers(0, 10**6))
def test_energy_is_the_sum_over_pairs(count: int, size: int, power: int, seed: int) -> None:
    vectors = random(count, size + 1, seed=seed)
    assert float(hyperspherical_energy(vectors, power)) == pytest.approx(energy(vectors, power), rel=1e-9)
    both = torch.cat([vectors, -vectors])
    half = hyperspherical_energy(vectors, power, half_space=True)
    assert float(half) == pytest.approx(energy(both, power), rel=1e-9)


@every_map
@pytest.mark.parametrize("power", [0, 1, 2])
def test_orthogonal_maps_keep_the_energy(build, power: int) -> None:  # E2
    for size, count in ((4, 10), (27, 16), (64, 40)):
        vectors = random(count, size, seed=size)
        before = hyperspherical_energy(vectors, power)
        after = hyperspherical_energy(vectors @ build(random(size, size)).mT, power)
        assert abs(after - before) / abs(before) < 1e-6


def test_energy_of_what_is_evenly_spread_is_least() -> None:
    simplex = torch.eye(4, dtype=torch.float64) - 0.25
    for power in (0, 1, 2):
        for seed in range(5):
            assert hyperspherical_energy(simplex, power) < hyperspherical_energy(
                random(4, 4, seed=seed), power
            )
    assert hyperspherical_energy(torch.ones(2, 3)) == math.inf
    for scale in (1e-310, 1e-200, 1e200, 1e300):
        scaled = scale * torch.tensor([[3.0, 0.0], [-0.5, 0.0]], dtype=torch.float64)
        assert hyperspherical_energy(scaled) == 1.0


def test_energy_is_differentiable() -> None:
    vectors = random(4, 3).requires_grad_()
    for power in (0, 1, 2):
        for half_space in (False, True):
            assert torch.autograd.gradcheck(
                lambda v, s=power, h=half_space: hyperspherical_energy(v, s, half_space=h), vectors
            )


@pytest.mark.parametrize(
    ("vectors", "power", "error", "words"),
    [
        (torch.ones(3), 1, ShapeError, "matrix"),
        (torch.ones(2, 3, 4), 1, ShapeError, "matrix"),
        (torch.ones(2, 3).long(), 1, ShapeError, "matrix"),
        (torch.eye(3), 3, OptionError, "0, 1 or 2"),
        (torch.eye(3), True, OptionError, "0, 1 or 2"),
        (torch.zeros(2, 3), 1, OptionError, "length zero"),
        (torch.full((2, 3), float("nan")), 1, NonFiniteError, "NaN"),
    ],
)
def test_bad_vectors(vectors: Tensor, power: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        hyperspherical_energy(vectors, power)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import CP, ShapeError
from rankfold.testing import assert_same

shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)
EPS = torch.finfo(torch.float64).eps


def random_cp(shape: tuple[int, ...], rank: int) -> CP:
    weights, *factors = (torch.randn(n, rank, dtype=torch.float64) for n in (1, *shape))
    return CP(weights[0], tuple(factors))


@pytest.mark.parametrize(
    ("weights", "factors", "message"),
    [
        (torch.ones(2), (torch.ones(3, 2),), "with 1 factors"),
        (torch.ones(1, 2), (torch.ones(3, 2), torch.ones(3, 2)), r"weights of shape \(1, 2\)"),
        (torch.ones(2, dtype=torch.int64), (torch.ones(3, 2), torch.ones(3, 2)), "floating-point"),
        (torch.ones(2), (torch.ones(3, 2), torch.ones(3, 4)), r"mode 1 has shape \(3, 4\).*\(n, 2\)"),
        (torch.ones(2), (torch.ones(3, 2), torch.ones(3, 2).double()), "torch.float64.*torch.float32"),
        (torch.ones(2), (torch.ones(3, 2, device="meta"), torch.ones(3, 2)), "on meta"),
    ],
)
def test_parts_that_do_not_fit(weights: Tensor, factors: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        CP(weights, factors)


@given(
    shape=shapes,
    rank=st.integers(0, 6),
    exponent=st.sampled_from([-150, -20, 0, 20, 150]),
    zeros=st.sets(st.integers(0, 5), max_size=2),
    seed=st.integers(0, 99),
)
def test_forms_against_dense(
    shape: tuple[int, ...], rank: int, exponent: int, zeros: set[int], seed: int
) -> None:
    torch.manual_seed(seed)
    value = random_cp(shape, rank)
    gone = [r for r in zeros if r < rank]
    value.weights[gone[:1]] = 0
    value.factors[-1][:, gone[1:]] = 0
    dense, scale = value.to_dense(), 10.0**exponent
    scaled = CP(value.weights * scale, value.factors)
    terms = sum(shape) + rank
    normal, balanced, canonical = scaled.normalize(), scaled.balance(), scaled.canonicalize()
    # Components may cancel: errors are relative to their norms, not to that of the sum.
    size = normal.weights.sum() / scale
    for form in (normal, balanced, canonical):
        assert form.rank == rank
        assert (form.to_dense() / scale - dense).abs().amax() <= 8 * terms * EPS * size
    for form in (normal, canonical):
        assert bool((form.weights >= 0).all())
        assert int((form.weights == 0).sum()) == len(gone)
        for factor in form.factors:
            assert_same(torch.linalg.vector_norm(factor, dim=0), torch.ones(rank).double(), terms=max(shape))
        # The sign of a weight goes to the first mode.
        for mode, (new, old) in enumerate(zip(normal.factors, value.factors, strict=True)):
            turned = (new * old).sum(0) * (value.weights.sign() if mode == 0 else 1)
            assert bool((turned >= 0).all())
    for factor in canonical.factors:
        first = torch.eye(factor.shape[0], 1, dtype=torch.float64)
        assert torch.equal(factor[:, rank - len(gone) :], first.expand(-1, len(gone)))
    assert normal.weights[gone].tolist() == [0] * len(gone)
    lengths = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in balanced.factors])
    assert torch.equal(balanced.weights, torch.ones(rank).double())
    assert torch.allclose(lengths, lengths[:1].expand_as(lengths), rtol=1e-12, atol=0)
    assert bool((canonical.weights.diff() <= 0).all())
    norm = torch.linalg.vector_norm(dense)
    assert (scaled.norm() / scale - norm).abs() * norm <= 8 * terms * EPS * size**2


@given(
    shape=shapes,
    rank=st.integers(1, 6),
    tolerance=st.sampled_from([0.0, 1e-12, 1e-6, 1e-2, 0.3, 0.9]),
    exponent=st.sampled_from([-150, 0, 150]),
    copies=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_truncation_is_within_the_tolerance(
    shape: tuple[int, ...], rank: int, tolerance: float, exponent: int, copies: int, seed: int
) -> None:
    torch.manual_seed(seed)
    value = random_cp(shape, rank)
    chosen = torch.arange(rank).repeat(copies + 1)
    many = CP(value.weights[chosen] * 10.0**exponent, tuple(factor[:, chosen] for factor in value.factors))
    result, dense = many.truncate(tolerance=tolerance), many.to_dense()
    error = torch.linalg.vector_norm(result.to_dense() - dense)
    size = many.normalize().weights.sum()
    assert error <= tolerance * torch.linalg.vector_norm(dense) + 8 * (sum(shape) + rank) * EPS * size
    assert 1 <= result.rank <= rank  # copies go at any tolerance
    assert many.truncate(ranks=1).rank == 1


def test_no_components() -> None:
    empty = random_cp((3, 4), 0)
    for form in (empty.normalize(), empty.balance(), empty.canonicalize(), empty.truncate(tolerance=0.1)):
        assert form.rank == 0
    assert empty.norm() == empty.inner(empty) == 0
    assert not empty.to_dense().any()
    assert not empty.to_tucker().to_dense().any()


def test_what_is_lost_decides_not_weight_nor_angle() -> None:
    torch.manual_seed(1)
    first, second, third, fourth = torch.linalg.qr(torch.randn(6, 4, dtype=torch.float64)).Q.T
    near = torch.nn.functional.normalize(first + 0.05 * second, dim=0)
    # Two heavy components nearly parallel in all modes; two lighter ones that stand alone.
    columns = torch.stack([first, near, third, fourth], dim=1)
    value = CP(torch.tensor([5.0, 5.0, 3.0, 1.0], dtype=torch.float64), (columns, columns, columns))
    result = value.truncate(ranks=3)
    kept = (result.factors[0].mT @ columns).abs()
    assert kept[:, 2].amax() > 0.999
    assert kept[:, 3].amax() > 0.999
    error = torch.linalg.vector_norm(result.to_dense() - value.to_dense())
    assert error < 0.5  # less than the lightest weight, though a heavy component went
    assert float(result.weights.amax()) == pytest.approx(10.0, rel=0.01)  # refitted: one took over from both
    # Parallel components in one mode only are two components.
    apart = CP(value.weights[:2], (columns[:, :2], columns[:, 2:], columns[:, 2:]))
    assert apart.truncate(tolerance=0.5).rank == 2


def test_elimination_against_brute_force() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        value = random_cp((3, 4, 3), 5)
        dense = value.to_dense()
        terms = torch.stack([component(value, r).flatten() for r in range(5)], dim=1)
        errors = []
        for dropped in range(5):
            rest = torch.cat([terms[:, :dropped], terms[:, dropped + 1 :]], dim=1)
            fit = rest @ torch.linalg.lstsq(rest, dense.reshape(-1, 1)).solution
            errors.append(float(torch.linalg.vector_norm(fit.flatten() - dense.flatten())))
        error = torch.linalg.vector_norm(value.truncate(ranks=4).to_dense() - dense)
        assert_same(error, torch.tensor(min(errors), dtype=torch.float64), terms=1000)
        # Just below the error of the best choice nothing goes, just above it one does.
        least = min(errors) / float(value.norm())
        assert value.truncate(tolerance=0.999 * least).rank == 5
        assert value.truncate(tolerance=1.001 * least).rank == 4


def component(value: CP, index: int) -> Tensor:
    return CP(
        value.weights[index : index + 1], tuple(factor[:, index : index + 1] for factor in value.factors)
    ).to_dense()


def test_truncation_resolves_small_tails() -> None:
    basis = torch.linalg.qr(torch.randn(5, 3, dtype=torch.float64)).Q
    value = CP(torch.tensor([1.0, 1e-10, 1e-13], dtype=torch.float64), (basis, basis, basis))
    assert value.truncate(tolerance=1e-11).rank == 2
    assert value.truncate(tolerance=1e-9).rank == 1
    assert value.truncate(tolerance=0.0).rank == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_canonical_form_of_equal_weights(dtype: torch.dtype) -> None:
    basis = torch.linalg.qr(torch.randn(5, 4, dtype=dtype)).Q
    value = CP(torch.ones(4, dtype=dtype), (basis, basis, basis))
    expected = value.canonicalize()
    for seed in range(10):
        torch.manual_seed(seed)
        order, scales = torch.randperm(4), torch.randn(2, 4, dtype=dtype)
        factors = (basis * scales[0], basis * scales[1], basis / scales.prod(0))
        again = CP(value.weights, tuple(factor[:, order] for factor in factors)).canonicalize()
        for new, old in zip(again.tensors, expected.tensors, strict=True):
            assert_same(new, old, terms=100)


def test_signs_of_the_canonical_form() -> None:
    value = random_cp((4, 5, 3), 6).canonicalize()
    for factor in value.factors[1:]:
        assert bool((factor.gather(0, factor.abs().argmax(0, keepdim=True)) > 0).all())
    # Entries of equal modulus: the first one decides, however they are rounded.
    even = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    for nudge in (1 - 1e-15, 1 + 1e-15):
        tilted = even * torch.tensor([[1.0], [nudge]], dtype=torch.float64)
        form = CP(torch.ones(1).double(), (even, -tilted)).canonicalize()
        assert form.factors[1][0] > 0
        assert form.factors[0][0] < 0


def test_permuted_modes() -> None:
    value = random_cp((3, 4, 5), 2)
    assert_same(value.permute((2, 0, 1)).to_dense(), value.to_dense().permute(2, 0, 1), terms=12)
    for modes in ((0, 1), (0, 0, 1), (1, 2, 3)):
        with pytest.raises(ShapeError, match="exactly once"):
            value.permute(modes)


def test_factors_far_out_of_range_of_each_other() -> None:
    value = random_cp((3, 4, 5), 2)
    factors = [factor * scale for factor, scale in zip(value.factors, (1e200, 1e200, 1e-300), strict=True)]
    tilted = CP(value.weights * 1e-100, tuple(factors))
    assert_same(tilted.norm(), value.norm(), terms=20)
    for form in (tilted.normalize(), tilted.balance(), tilted.canonicalize(), tilted.truncate(tolerance=0.0)):
        assert_same(form.to_dense(), value.to_dense(), terms=20)
    assert_same(tilted.to_tucker().to_dense(), value.to_dense(), terms=20)

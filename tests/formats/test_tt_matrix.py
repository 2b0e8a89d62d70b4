from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import TT, NonFiniteError, RankError, ShapeError, TTMatrix
from rankfold.formats import core_shapes, full_bonds
from rankfold.testing import assert_same

EPS = torch.finfo(torch.float64).eps


def random_matrix(out: tuple[int, ...], inner: tuple[int, ...], ranks: tuple[int, ...]) -> TTMatrix:
    return TTMatrix(tuple(torch.randn(s, dtype=torch.float64) for s in core_shapes(out, inner, ranks)))


def relative_error(value: TTMatrix, dense: Tensor) -> float:
    return float(torch.linalg.vector_norm(value.to_dense() - dense) / torch.linalg.vector_norm(dense))


@pytest.mark.parametrize(
    ("cores", "message"),
    [
        ((torch.ones(1, 3, 2, 1),), "two or more cores"),
        ((torch.ones(1, 3, 2), torch.ones(2, 4, 1)), "two or more cores"),
        ((torch.ones(2, 3, 2, 2), torch.ones(2, 4, 2, 1)), "1 at both ends"),
        ((torch.ones(1, 3, 2, 2), torch.ones(2, 4, 2, 2)), "1 at both ends"),
        ((torch.ones(1, 3, 2, 2), torch.ones(3, 4, 2, 1)), r"\[\(1, 3, 2, 2\), \(3, 4, 2, 1\)\]"),
        ((torch.ones(1, 3, 2, 2), torch.ones(2, 4, 2, 1).double()), "one floating-point dtype"),
        ((torch.ones(1, 3, 2, 2).long(), torch.ones(2, 4, 2, 1).long()), "floating-point"),
    ],
)
def test_cores_that_do_not_fit(cores: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        TTMatrix(cores)


def test_an_entry_is_a_product_of_matrices() -> None:
    value = random_matrix((3, 2, 2), (2, 2, 3), (4, 3))
    dense = value.to_dense()
    for row, column in ((0, 0), (7, 5), (11, 11)):
        digits = [(row // 4, column // 6), (row // 2 % 2, column // 3 % 2), (row % 2, column % 3)]
        first, second, third = (core[:, o, i] for core, (o, i) in zip(value.cores, digits, strict=True))
        assert_same(dense[row, column], (first @ second @ third)[0, 0], terms=12)


def test_a_kronecker_product_has_ranks_one() -> None:
    a, b, c = (torch.randn(n, n + 1, dtype=torch.float64) for n in (2, 3, 4))
    dense = torch.kron(torch.kron(a, b), c)
    value = TTMatrix.from_dense(dense, (2, 3, 4), (3, 4, 5), tolerance=1e-12)
    assert value.ranks == (1, 1)
    assert relative_error(value, dense) < 1e-12
    almost = dense + 1e-9 * torch.randn_like(dense)  # where gauges by inverse singular values lose digits
    assert relative_error(TTMatrix.from_dense(almost, (2, 3, 4), (3, 4, 5), tolerance=0.0), almost) < 1e-12


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_full_bonds_are_exact(dtype: torch.dtype, bound: float) -> None:
    for out, inner in (((4, 4, 3), (4, 4, 3)), ((2, 3, 2, 2), (5, 2, 3, 2)), ((6, 7), (5, 2))):
        dense = torch.randn(torch.Size(out).numel(), torch.Size(inner).numel(), dtype=dtype)
        bonds = full_bonds(out, inner)
        for options in ({"ranks": bonds}, {"tolerance": 0.0}):
            value = TTMatrix.from_dense(dense, out, inner, **options)
            assert value.ranks == bonds
            assert relative_error(value, dense) < bound


def test_truncation_is_monotone() -> None:
    dense = torch.randn(36, 24, dtype=torch.float64)
    errors = [
        relative_error(TTMatrix.from_dense(dense, (4, 3, 3), (2, 3, 4), ranks=rank), dense)
        for rank in range(1, 13)
    ]
    assert all(more < less for less, more in pairwise(errors))
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("options", [{"tolerance": 0.0}, {"tolerance": 0.1}, {"ranks": 3}, {"ranks": (4, 4)}])
def test_zero_matrices_stay_finite(options: dict) -> None:
    zero = torch.zeros(8, 8)
    value = TTMatrix.from_dense(zero, (2, 2, 2), (2, 2, 2), **options)
    for form in (value, value.balance(), value.canonicalize(), value.truncate(tolerance=0.0)):
        assert torch.equal(form.to_dense(), zero)
        assert all(core.isfinite().all() for core in form.cores)
    # The last core of a matrix of zeros still gets a gradient.
    cores = [core.requires_grad_() for core in value.balance().cores]
    TTMatrix(tuple(cores)).to_dense().sum().backward()
    assert cores[-1].grad.any() or not any(core.any() for core in cores[:-1])
    assert any(core.grad.any() for core in cores)


def test_what_from_dense_refuses() -> None:
    dense = torch.randn(12, 8)
    for out, inner in (((3, 5), (2, 4)), ((3, 4), (8,)), ((12,), (8,)), ((3, 4), (2, 2, 2)), ((3, 4), 8)):
        with pytest.raises(ShapeError, match=r"TTMatrix\.from_dense"):
            TTMatrix.from_dense(dense, out, inner, ranks=2)
    for other in (dense.long(), torch.randn(3, 4, 8), torch.randn(0, 8)):
        with pytest.raises(ShapeError, match=r"TTMatrix\.from_dense"):
            TTMatrix.from_dense(other, (3, 4), (2, 4), ranks=2)
    for ranks in (0, 7, (2, 2), True):
        with pytest.raises(RankError, match=r"a number in 1\.\.6|one per rank"):
            TTMatrix.from_dense(dense, (3, 4), (2, 4), ranks=ranks)
    dense[3, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        TTMatrix.from_dense(dense, (3, 4), (2, 4), ranks=2)


def test_balanced_cores_have_equal_norms() -> None:
    for exponent in (-200, 0, 200):
        value = random_matrix((3, 2, 2), (2, 2, 3), (4, 3))
        value = TTMatrix((value.cores[0] * 10.0**exponent, *value.cores[1:]))
        balanced = value.balance()
        norms = torch.stack([torch.linalg.vector_norm(core) for core in balanced.cores])
        assert_same(norms, norms[:1].expand(3), terms=40)
        assert_same(balanced.to_dense() / 10.0**exponent, value.to_dense() / 10.0**exponent, terms=40)


def positive(value: TTMatrix) -> TTMatrix:
    """What the value would be if nothing in it cancelled."""
    return TTMatrix(tuple(core.abs() for core in value.cores))


factors = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=5)


@given(sizes=factors, rows=st.sampled_from([(), (0,), (1,), (3,), (2, 3)]), seed=st.integers(0, 99))
def test_apply(sizes: list[tuple[int, int, int]], rows: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    out, inner, ranks = zip(*sizes, strict=True)
    value = random_matrix(out, inner, ranks[1:])
    input = torch.randn(*rows, value.shape[1], dtype=torch.float64)
    result, expected = value.apply(input), input @ value.to_dense().mT
    assert result.shape == expected.shape
    allowed = 64 * (sum(value.shape) + sum(ranks)) * EPS
    size = positive(value).apply(input.abs())
    assert bool(((result - expected).abs() <= allowed * size).all())
    transposed = value.transpose().to_dense().mT
    assert torch.linalg.vector_norm(transposed - value.to_dense()) <= allowed * positive(value).norm()


def test_gradients_of_apply() -> None:
    value = random_matrix((3, 2, 2), (2, 1, 3), (2, 3))
    input = torch.randn(2, 6, dtype=torch.float64).requires_grad_()
    cores = [core.requires_grad_() for core in value.cores]
    assert torch.autograd.gradcheck(lambda x, *given: TTMatrix(given).apply(x), (input, *cores))


def test_apply_never_forms_the_matrix() -> None:
    shapes = core_shapes((2,) * 18, (2,) * 18, (1,) * 17)
    value = TTMatrix(tuple(torch.rand(shape, dtype=torch.float64) for shape in shapes))
    ones = torch.ones(2**18, dtype=torch.float64)  # a dense matrix would take 512 GiB
    expected = torch.stack([core[0, :, :, 0].sum(1) for core in value.cores])
    result = value.apply(ones)
    assert_same(result.sum(), expected.sum(1).prod(), terms=18)
    assert_same(result[0], expected[:, 0].prod(), terms=18)


def test_what_apply_refuses() -> None:
    value = random_matrix((3, 4), (2, 4), (2,))
    for input in (torch.randn(3, 7).double(), torch.randn(3, 8), torch.tensor(1.0).double()):
        with pytest.raises(ShapeError, match=r"TTMatrix\.apply: got .* shape \(\.\.\., 8\)"):
            value.apply(input)


def test_inner_product_of_other_sizes_is_refused() -> None:
    a, b = random_matrix((3, 4), (2, 4), (2,)), random_matrix((4, 3), (2, 4), (2,))
    with pytest.raises(ShapeError, match="split into the same sizes"):
        a.inner(b)
    train = TT((torch.randn(1, 12, 2).double(), torch.randn(2, 8, 1).double()))
    assert_same(a.inner(train), train.inner(a), terms=30)

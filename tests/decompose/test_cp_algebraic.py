"""The algebraic solution, and compression to leading singular vectors."""

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, exact, noise, noisy

from rankfold import CP
from rankfold.decompose._algebraic import applicable, jennrich
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._compressed import compress
from rankfold.formats import factor_match_score


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize(
    ("shape", "rank"),
    [((6, 5, 4), 4), ((4, 5, 6), 5), ((3, 7, 6), 6), ((8, 8, 2), 8), ((4, 3, 4, 3), 4), ((2, 3, 2, 3, 2), 3)],
    ids=str,
)
def test_exact_tensors_are_solved(shape: tuple[int, ...], rank: int) -> None:
    truth = drawn(shape, rank, 1)
    assert applicable(shape, rank)
    factors = jennrich(dense(truth), rank, generator())
    assert [tuple(f.shape) for f in factors] == [(size, rank) for size in shape]
    assert relative(dense(factors), dense(truth)) < 1e-7
    ones = torch.ones(rank, dtype=torch.float64)
    assert factor_match_score(CP(ones, tuple(truth)), CP(ones, tuple(factors))) > 1 - 1e-6


@pytest.mark.parametrize(("shape", "rank"), [((5, 4), 3), ((6, 5, 4), 1), ((3, 4, 2, 3), 1)], ids=str)
def test_matrices_and_rank_one(shape: tuple[int, ...], rank: int) -> None:
    x = exact(shape, rank, 2)
    assert relative(dense(jennrich(x, rank, generator())), x) < 1e-12


def test_complex_eigenvalues_give_real_factors() -> None:
    # A typical rank of 2 x 2 x 2 is 3: half of all such tensors have complex eigenvalues at rank 2.
    complex_seen = 0
    for seed in range(20):
        x = noise((2, 2, 2), seed)
        above, below = x[..., 0], x[..., 1]
        complex_seen += bool(torch.linalg.eigvals(above @ torch.linalg.inv(below)).imag.abs().max() > 0)
        factors = jennrich(x, 2, generator(seed))
        assert all(f.dtype == torch.float64 and bool(f.isfinite().all()) for f in factors)
        # Real and imaginary part span a plane; one of them twice would not.
        values = torch.linalg.svdvals(torch.nn.functional.normalize(factors[0], dim=0))
        assert float(values[-1]) > 1e-6
    assert 3 <= complex_seen <= 17


@pytest.mark.parametrize("shape", [(6, 5, 4), (4, 3, 4, 3)])
def test_noise_does_no_harm_beyond_its_size(shape: tuple[int, ...]) -> None:
    x = noisy(exact(shape, 3, 3), 1e-6, 3)
    assert relative(dense(jennrich(x, 3, generator())), x) < 1e-2
    for seed in range(5):
        factors = jennrich(noise(shape, seed), 4, generator(seed))
        assert all(bool(f.isfinite().all()) for f in factors)


def test_lower_rank_than_asked_for_is_no_crash() -> None:
    x = exact((6, 5, 4), 2, 1)
    factors = jennrich(x, 4, generator())
    assert all(bool(f.isfinite().all()) for f in factors)


@pytest.mark.parametrize(
    ("shape", "rank", "able"),
    [((5, 5, 5), 5, True), ((5, 5, 5), 6, False), ((9, 4, 2), 4, True), ((9, 4, 2), 5, False), ((9, 4, 1), 2, False),
     ((9, 4), 4, True), ((9, 4), 5, False), ((2, 2, 6, 5), 5, True)],
)  # fmt: skip
def test_where_it_applies(shape: tuple[int, ...], rank: int, able: bool) -> None:
    assert applicable(shape, rank) is able


# -- compression ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 8, 7), (12, 2, 9), (5, 6, 5, 6), (20, 10)], ids=str)
def test_exact_data_lose_nothing(shape: tuple[int, ...]) -> None:
    rank = 3
    x = exact(shape, rank, 4)
    norm = float(torch.linalg.vector_norm(x))
    squeezed = compress(CompleteData(x), [rank] * len(shape))
    assert squeezed is not None
    assert squeezed.data.shape == tuple(min(size, rank) for size in shape)
    assert squeezed.data.norm == pytest.approx(1, rel=1e-12)
    assert squeezed.lost <= 1e-7
    assert squeezed.scale == pytest.approx(norm, rel=1e-10)
    for basis, size in zip(squeezed.bases, shape, strict=True):
        assert (basis is None) == (size <= rank)
        if basis is not None:
            eye = torch.eye(rank, dtype=torch.float64)
            torch.testing.assert_close(basis.mT @ basis, eye, rtol=0, atol=1e-12)


def test_factors_go_there_and_back() -> None:
    shape = (9, 8, 7)
    truth = drawn(shape, 3, 4)
    x = dense(truth)
    squeezed = compress(CompleteData(x), [3] * 3)
    assert squeezed is not None
    inner = squeezed.project(truth)
    assert (2 * squeezed.data.loss(inner)) ** 0.5 <= 1e-10
    outer = squeezed.expand(inner, dtype=torch.float64, device=x.device)
    assert relative(dense(outer), x) <= 1e-10
    anything = [noise(size, 5) for size in ((3, 2), (3, 2), (3, 2))]
    again = squeezed.project(squeezed.expand(anything, dtype=torch.float64, device=x.device))
    for new, old in zip(again, anything, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-12, atol=1e-12)
    assert squeezed.expand(anything, dtype=torch.float32, device=x.device)[0].dtype == torch.float32


def test_what_is_lost_is_the_distance_to_the_core() -> None:
    x = noisy(exact((9, 8, 7), 3, 4), 0.2, 4)
    squeezed = compress(CompleteData(x), [3] * 3)
    assert squeezed is not None
    bases = [basis for basis in squeezed.bases if basis is not None]
    back = torch.einsum("abc,ia,jb,kc->ijk", squeezed.data.tensor * squeezed.scale, *bases)
    assert squeezed.lost == pytest.approx(relative(back, x), rel=1e-9)


def test_it_is_left_alone_where_it_does_not_pay() -> None:
    x = noise((4, 4, 4), 1)
    assert compress(CompleteData(x), [4] * 3) is None
    assert compress(CompleteData(x), [3, 3, 4]) is None
    assert compress(CompleteData(x), [3, 3, 3]) is not None


def test_the_core_is_precise_whatever_comes_in() -> None:
    x = exact((9, 8, 7), 2, 6).float()
    squeezed = compress(CompleteData(x), [2] * 3)
    assert squeezed is not None
    assert squeezed.data.dtype == torch.float64
    # The difference of two squares in float32 keeps half the digits.
    assert squeezed.lost <= 2 * torch.finfo(torch.float32).eps ** 0.5

"""What solvers ask of complete data and of data with gaps, against automatic differentiation."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from tests.decompose.cp_problems import LETTERS, dense, drawn, flat, jacobian, noise, observed
from torch import Tensor

from rankfold.decompose import _complete
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._masked import MaskedData

SHAPES = [(4, 3), (3, 4, 2), (1, 4, 3), (2, 3, 2, 3), (2, 2, 3, 2, 2)]
FORMS = ["complete", "large", "masked", "shrunk"]
# Weight of the gaps in the last of these.
SHRINKAGE = 0.2


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "large":
        # As if the tensor were too large to form its residual.
        monkeypatch.setattr(_complete, "_RESIDUAL_ENTRIES", 1)
    return request.param


def problem(
    form: str, shape: tuple[int, ...], rank: int, seed: int = 0
) -> tuple[Data, Tensor, Tensor, list[Tensor]]:
    """Data, the tensor, its weights (of the squares), and factors."""
    x, factors = noise(shape, seed), drawn(shape, rank, seed)
    if form in ("complete", "large"):
        return CompleteData(x), x, torch.ones_like(x), factors
    mask = observed(shape, 0.6, seed)
    mask.view(-1)[0] = True
    hidden = torch.where(mask, x, torch.nan)
    shrinkage = SHRINKAGE if form == "shrunk" else 0.0
    data = MaskedData(hidden, mask).shrunk(shrinkage)
    return data, torch.where(mask, x, 0.0), mask.double().clamp_min(shrinkage), factors


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss_and_gradients(form: str, shape: tuple[int, ...]) -> None:
    data, x, weights, factors = problem(form, shape, 3)
    leaves = [factor.clone().requires_grad_() for factor in factors]
    loss = 0.5 * ((dense(leaves) - x).square() * weights).sum()
    slopes, loss = torch.autograd.grad(loss, leaves), loss.detach()
    assert data.loss(factors) == pytest.approx(float(loss), rel=1e-12)
    found, gradients = data.gradients(factors)
    assert found == pytest.approx(float(loss), rel=1e-11)
    for mine, theirs in zip(gradients, slopes, strict=True):
        close(mine, theirs)
    assert data.norm == pytest.approx(float(torch.linalg.vector_norm(x)), rel=1e-14)
    assert data.count == int((weights == 1).sum())
    assert (data.shape, data.dtype, data.device) == (shape, torch.float64, x.device)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal_matrix(form: str, shape: tuple[int, ...]) -> None:
    data, _, weights, factors = problem(form, shape, 2)
    slopes = jacobian(factors) * weights.sqrt().reshape(-1, 1)
    expected = slopes.mT @ slopes
    normal = data.normal(factors)
    close(normal.matrix(), expected)
    vectors = drawn(shape, 2, 50)
    close(flat(normal.product(vectors)), expected @ flat(vectors))
    start = 0
    for block, factor in zip(normal.blocks(), factors, strict=True):
        for row in range(factor.shape[0]):
            span = slice(start + 2 * row, start + 2 * row + 2)
            close(block if block.ndim == 2 else block[row], expected[span, span])
        start += factor.numel()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sweep_gives_the_least_squares_problems(form: str, shape: tuple[int, ...]) -> None:
    data, x, weights, factors = problem(form, shape, 2)
    new = drawn(shape, 2, 60)
    seen = []
    for mode, right, gram in data.sweep(factors):
        # The explicit Khatri-Rao product of the other factors, with the rows that were observed.
        others = [factor for axis, factor in enumerate(factors) if axis != mode]
        letters = LETTERS[: len(others)]
        terms = ",".join(f"{letter}r" for letter in letters)
        rows = torch.einsum(f"{terms}->{letters}r", *others).reshape(-1, 2)
        values, seen_rows = (part.movedim(mode, 0).reshape(shape[mode], -1) for part in (x, weights))
        for index in range(shape[mode]):
            used = rows * seen_rows[index].unsqueeze(1)
            close(right[index], used.mT @ values[index])
            close(gram if gram.ndim == 2 else gram[index], used.mT @ rows)
        factors[mode] = new[mode]
        seen.append(mode)
    assert seen == list(range(len(shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_contractions_of_the_residual(form: str, shape: tuple[int, ...]) -> None:
    data, x, weights, factors = problem(form, shape, 2)
    probes = drawn(shape, 4, 70)
    for model, residual in ((factors, (x - dense(factors)) * weights), ([], x * weights)):
        for mode in range(len(shape)):
            letters = LETTERS[: len(shape)]
            terms = ",".join(f"{letters[axis]}s" for axis in range(len(shape)) if axis != mode)
            others = [probe for axis, probe in enumerate(probes) if axis != mode]
            expected = torch.einsum(f"{letters},{terms}->{letters[mode]}s", residual, *others)
            close(data.contract(model, probes, mode), expected)
            close(data.probe(model)(probes, mode), expected)


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple),
    rank=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_all_observed_is_complete(shape: tuple[int, ...], rank: int, seed: int) -> None:
    x, factors = noise(shape, seed), drawn(shape, rank, seed)
    complete, masked = CompleteData(x), MaskedData(x, torch.ones_like(x, dtype=torch.bool))
    assert masked.loss(factors) == pytest.approx(complete.loss(factors), rel=1e-12)
    close(masked.normal(factors).matrix(), complete.normal(factors).matrix())
    for a, b in zip(masked.gradients(factors)[1], complete.gradients(factors)[1], strict=True):
        close(a, b)


def test_loss_of_an_exact_fit_keeps_all_digits() -> None:
    factors = drawn((5, 6, 7), 3, 1)
    data = CompleteData(dense(factors))
    assert (2 * data.loss(factors)) ** 0.5 <= 1e-14 * data.norm


def test_error_is_over_the_observed_entries_whatever_the_gaps_weigh() -> None:
    for form in ("masked", "shrunk"):
        data, x, weights, factors = problem(form, (3, 4, 2), 2)
        assert isinstance(data, MaskedData)
        missed = torch.linalg.vector_norm((dense(factors) - x)[weights == 1])
        assert data.error(factors) == pytest.approx(float(missed) / data.norm, rel=1e-12)


def test_loss_goes_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    x, factors = noise((7, 3, 4), 2), drawn((7, 3, 4), 2, 2)
    whole = CompleteData(x).loss(factors)
    monkeypatch.setattr(_complete, "_RESIDUAL_ENTRIES", 24)
    assert CompleteData(x).loss(factors) == pytest.approx(whole, rel=1e-13)


def test_the_tensor_given_is_not_written_to(form: str) -> None:
    data, _, _, factors = problem(form, (3, 4, 2), 2)
    before, tensor = [factor.clone() for factor in factors], data.tensor.clone()  # type: ignore[attr-defined]
    data.loss(factors), data.gradients(factors), data.contract(factors, factors, 0), list(data.sweep(factors))
    data.normal(factors).matrix(), data.normal(factors).product(factors)
    assert torch.equal(data.tensor, tensor)  # type: ignore[attr-defined]
    assert all(torch.equal(new, old) for new, old in zip(factors, before, strict=True))

"""Symmetric components against automatic differentiation."""

import pytest
import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._sparse import SparseData
from rankfold.decompose._symmetric import (
    SymmetricData,
    check_symmetric,
    refine_symmetric,
    symmetric_factors,
    symmetrize,
)
from rankfold.decompose._symmetric_normal import FoldedNormal, SymmetricNormal

LETTERS = "abcde"


def _dense(vectors: Tensor, signs: Tensor, order: int) -> Tensor:
    spec = ",".join(f"{letter}r" for letter in LETTERS[:order])
    return torch.einsum(f"r,{spec}->{LETTERS[:order]}", signs, *([vectors] * order))


def _random(size: int, rank: int, order: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(size, rank, generator=generator, dtype=torch.float64)
    signs = torch.ones(rank, dtype=torch.float64)
    if order % 2 == 0:
        signs[1::2] = -1
    return vectors, signs


def _symmetric_mask(size: int, order: int, seed: int) -> Tensor:
    drawn = torch.rand((size,) * order, generator=torch.Generator().manual_seed(seed))
    index = torch.cartesian_prod(*[torch.arange(size)] * order).sort(dim=1).values
    return (drawn[tuple(index.T)] < 0.7).view((size,) * order)


def _settings(seed: int = 0) -> Settings:
    return Settings(generator=torch.Generator().manual_seed(seed), recorder=Recorder())


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_gradient_and_gauss_newton_matrix(order: int, masked: bool) -> None:
    size, rank = 4, 3
    target = _dense(*_random(size, 2, order, 1), order)
    vectors, signs = _random(size, rank, order, 2)
    mask = _symmetric_mask(size, order, 3) if masked else torch.ones_like(target, dtype=torch.bool)
    data: Data = MaskedData(target, mask) if masked else CompleteData(target)
    problem = SymmetricData(data, signs)

    def residual(vectors: Tensor) -> Tensor:
        return ((_dense(vectors, signs, order) - target) * mask).flatten()

    loss, (slope,) = problem.gradients([vectors])
    jacobian = torch.autograd.functional.jacobian(residual, vectors).reshape(-1, size * rank)
    found = residual(vectors)
    assert loss == pytest.approx(float(0.5 * found @ found), rel=1e-12)
    torch.testing.assert_close(slope.flatten(), jacobian.mT @ found, rtol=1e-10, atol=1e-10)
    normal = problem.normal([vectors])
    assert isinstance(normal, FoldedNormal if masked else SymmetricNormal)
    expected = jacobian.mT @ jacobian
    torch.testing.assert_close(normal.matrix(), expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn(size, rank, dtype=torch.float64)
    (image,) = normal.product([direction])
    torch.testing.assert_close(image.flatten(), expected @ direction.flatten(), rtol=1e-10, atol=1e-9)
    (block,) = normal.blocks()
    assert torch.linalg.eigvalsh(block).min() > -1e-9


@pytest.mark.parametrize("order", [3, 4])
def test_refinement_reaches_an_exact_fit(order: int) -> None:
    vectors, signs = _random(7, 3, order, 4)
    data = CompleteData(_dense(vectors, signs, order))
    begun = vectors + 0.1 * torch.randn(7, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    before = begun.clone()
    found = refine_symmetric(data, begun, signs, _settings())
    assert torch.equal(begun, before)
    assert (2 * data.loss(symmetric_factors(found, signs, order))) ** 0.5 < 1e-10 * data.norm


def test_refinement_fills_gaps() -> None:
    vectors, signs = _random(7, 2, 3, 6)
    tensor = _dense(vectors, signs, 3)
    data = MaskedData(tensor, _symmetric_mask(7, 3, 7))
    begun = vectors + 0.1 * torch.randn(7, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    found = refine_symmetric(data, begun, signs, _settings())
    torch.testing.assert_close(_dense(found, signs, 3), tensor, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_symmetrize_undoes_scales_and_signs_spread_over_the_modes(order: int) -> None:
    vectors, signs = _random(5, 4, order, 9)
    factors = symmetric_factors(vectors, signs, order)
    scales = torch.tensor([2.0, -0.5, -3.0, 0.1], dtype=torch.float64)
    factors[0], factors[1] = factors[0] * scales, factors[1] / scales
    found, kept = symmetrize(factors)
    torch.testing.assert_close(_dense(found, kept, order), _dense(vectors, signs, order))
    assert torch.equal(kept, signs)
    assert kept.dtype == found.dtype == torch.float64


def test_symmetrize_asks_for_one_shape() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        symmetrize([torch.ones(3, 2), torch.ones(4, 2)])


def test_symmetry_is_checked_in_every_form() -> None:
    tensor = _dense(*_random(4, 3, 3, 10), 3)
    mask = _symmetric_mask(4, 3, 11)
    for data in (CompleteData(tensor), CompleteData(tensor.float()), MaskedData(tensor, mask)):
        check_symmetric("here", data)
    check_symmetric("here", SparseData((tensor * mask).to_sparse()))
    askew = tensor.clone()
    askew[0, 1, 2] += 1e-4 * tensor.norm()
    # Symmetric in two of its three pairs of modes is not enough.
    half = 0.5 * (askew + askew.transpose(1, 2))
    mask[0, 1, 2] ^= True
    for data in (
        CompleteData(askew),
        CompleteData(half),
        SparseData(askew.to_sparse()),
        MaskedData(tensor, mask),
    ):
        with pytest.raises(ShapeError, match="here: symmetric=True, but"):
            check_symmetric("here", data)
    with pytest.raises(ShapeError, match="equal dimensions"):
        check_symmetric("here", CompleteData(torch.ones(3, 4)))

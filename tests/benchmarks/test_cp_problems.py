"""The test problems are what their definitions say, and the same for the same seed."""

import pytest
import torch
from benchmarks._cp_families import FAMILIES
from benchmarks._cp_problems import (
    add_noise,
    amplitude_of_energy,
    binary,
    bottlenecks,
    congruent,
    factors_of,
    gaussian,
    geometric_weights,
    hidden,
    matrix_multiplication,
    orthonormal,
    seeded,
    sparse_nonnegative,
    with_weights,
)


def cosines(factor):
    unit = factor / factor.norm(dim=0)
    return unit.mT @ unit


@pytest.mark.parametrize("congruence", [0.0, 0.5, 0.9, 0.99])
def test_any_two_columns_have_exactly_the_congruence(congruence):
    for factor in congruent((20, 15, 9), 5, congruence, seeded(0)).factors:
        expected = torch.full((5, 5), congruence, dtype=torch.float64).fill_diagonal_(1.0)
        torch.testing.assert_close(factor.mT @ factor, expected, rtol=0, atol=1e-14)


def test_orthonormal_columns_are():
    for factor in orthonormal((12, 13, 14), 12, seeded(1)).factors:
        torch.testing.assert_close(factor.mT @ factor, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-14)


def test_bottlenecks_are_two_pairs_in_the_named_modes_only():
    factors = bottlenecks((10, 10, 10), 6, 0.99, (0, 1), seeded(3)).factors
    for mode in (0, 1):
        near = (cosines(factors[mode]).triu(1).abs() > 0.98).nonzero().tolist()
        assert near == [[0, 1], [2, 3]]
        assert float(cosines(factors[mode])[0, 1]) == pytest.approx(0.99, abs=1e-14)
    assert float(cosines(factors[2]).triu(1).abs().max()) < 0.98


def test_weights_are_the_lengths_of_the_components():
    weights = geometric_weights(5, 1e-2)
    assert weights[0] == 1
    assert float(weights[-1]) == pytest.approx(1e-2)
    torch.testing.assert_close(weights[1:] / weights[:-1], torch.full((4,), 10**-0.5, dtype=torch.float64))
    factors = factors_of(with_weights(gaussian((6, 7, 8), 5, seeded(0)), weights))
    lengths = torch.stack([factor.norm(dim=0) for factor in factors]).prod(0)
    torch.testing.assert_close(lengths, weights)


@pytest.mark.parametrize("percent", [0.01, 1.0, 10.0])
def test_noise_is_the_named_share_of_the_energy(percent):
    x = gaussian((9, 8, 7), 3, seeded(0)).to_dense()
    noise = add_noise(x, amplitude_of_energy(percent), seeded(1)) - x
    energy = float(noise.square().sum())
    assert energy / (energy + float(x.square().sum())) == pytest.approx(percent / 100, rel=1e-9)


def test_exactly_the_share_is_hidden():
    mask = hidden((15, 15, 15), 0.8, seeded(0))
    assert mask.dtype == torch.bool
    assert int((~mask).sum()) == 2700


def test_sparse_factors_are_non_negative_with_about_the_share_of_zeros_and_no_empty_column():
    factors = sparse_nonnegative((400, 300, 200), 12, 0.7, seeded(0)).factors
    for factor in factors:
        assert float(factor.min()) >= 0
        assert float((factor == 0).double().mean()) == pytest.approx(0.7, abs=0.03)
    tiny = sparse_nonnegative((2, 2, 2), 30, 0.9, seeded(0)).factors
    assert all(bool((factor.sum(0) > 0).all()) for factor in tiny)


def test_binary_factors_are_binary_without_empty_columns():
    factors = binary((3, 3, 3), 50, seeded(0)).factors
    assert all(set(factor.unique().tolist()) == {0.0, 1.0} for factor in factors)
    assert all(bool((factor.sum(0) > 0).all()) for factor in factors)


def test_the_matrix_multiplication_tensor_multiplies():
    a, b = torch.randn(2, 3, 3, generator=seeded(0), dtype=torch.float64)
    product = torch.einsum("xyz,x,y->z", matrix_multiplication(3), a.flatten(), b.flatten())
    torch.testing.assert_close(product.view(3, 3).mT, a @ b)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_one_tensor_per_seed(name):
    family = FAMILIES[name]
    x = family.tensor(0)
    assert tuple(x.shape) == family.shape
    assert x.dtype == torch.float64
    assert torch.equal(x, family.tensor(0))
    assert torch.equal(x, family.tensor(1)) == ("Strassen" in name or "Laderman" in name)

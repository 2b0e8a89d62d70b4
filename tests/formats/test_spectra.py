"""Singular values from Gram matrices are those of the unfoldings of the dense tensor."""

import pytest
import torch

from rankfold import TT, Tucker
from rankfold.formats._spectra import bond_spectra, mode_spectra
from rankfold.linalg import unfold


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(found: torch.Tensor, matrix: torch.Tensor) -> None:
    expected = torch.linalg.svdvals(matrix)[: len(found)]
    padded = torch.nn.functional.pad(expected, (0, len(found) - len(expected)))
    # Gram matrices halve the digits.
    assert torch.allclose(found, padded, rtol=0, atol=1e-7 * float(expected[0]))


@pytest.mark.parametrize("modes", [(0, 1, 2), (1,), (0, 2)])
def test_modes_of_tucker_whatever_its_factors_are(modes: tuple[int, ...]) -> None:
    shape, ranks = (7, 6, 5), (3, 4, 2)
    core = normal(*(rank if mode in modes else shape[mode] for mode, rank in enumerate(ranks)))
    factors = tuple(
        normal(shape[mode], ranks[mode], seed=mode + 1) if mode in modes else None for mode in range(3)
    )
    dense = Tucker(core, factors).to_dense()
    found = mode_spectra(core, {mode: factor for mode, factor in enumerate(factors) if factor is not None})
    assert tuple(found) == modes
    for mode, values in found.items():
        close(values, unfold(dense, mode))


def test_ranks_above_what_the_shape_allows() -> None:
    core, factors = normal(6, 2), (normal(3, 6, seed=1), normal(4, 2, seed=2))
    found = mode_spectra(core, dict(enumerate(factors)))
    assert len(found[0]) == 6
    close(found[0], Tucker(core, factors).to_dense())


def test_bonds_of_a_train() -> None:
    cores = (normal(1, 4, 3), normal(3, 5, 6, seed=1), normal(6, 2, 2, seed=2), normal(2, 3, 1, seed=3))
    dense = TT(cores).to_dense()
    for bond, values in enumerate(bond_spectra(cores), 1):
        close(values, dense.reshape(dense.shape[:bond].numel(), -1))


@pytest.mark.parametrize("number", [0.0, float("nan"), float("inf")])
def test_numbers_that_have_no_spectrum(number: float) -> None:
    core = torch.full((2, 2), number, dtype=torch.float64)
    (values,) = mode_spectra(core, {0: torch.ones(3, 2, dtype=torch.float64)}).values()
    assert values.shape == (2,)
    assert bool((values == 0).all()) if number == 0 else not bool(values.isfinite().any())


def test_what_has_no_entries() -> None:
    assert mode_spectra(torch.ones(2, 0), {0: torch.ones(3, 2), 1: torch.ones(4, 0)})[1].shape == (0,)


def test_the_default_device_does_not_matter() -> None:
    with torch.device("meta"):
        found = mode_spectra(torch.ones(2, 0, device="cpu"), {0: torch.ones(3, 2, device="cpu")})
    assert found[0].device.type == "cpu"

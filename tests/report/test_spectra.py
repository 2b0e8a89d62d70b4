"""Spectra of weights against NumPy's own."""

import numpy as np
import pytest
import torch

from rankfold._errors import NonFiniteError
from rankfold.report import spectra_of


def test_a_convolution():
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight[:, 3] = weight[:, 0]
    output, inputs = spectra_of("conv", "Conv2d", weight, (1, 0))
    for row, axis in ((output, 0), (inputs, 1)):
        matrix = np.moveaxis(weight.numpy(), axis, 0).reshape(weight.shape[axis], -1)
        values = np.linalg.svd(matrix, compute_uv=False)
        counts = [int(np.ceil(share * len(values))) for share in (0.25, 0.5, 0.75)]
        energies = [(values[:count] ** 2).sum() / (values**2).sum() for count in counts]
        assert row.energies == pytest.approx(energies, rel=1e-12)
        assert row.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-12)
        assert row.numerical_rank == np.linalg.matrix_rank(matrix)
    assert (output.mode, output.full_rank, inputs.mode, inputs.full_rank) == ("output", 6, "input", 4)
    assert inputs.numerical_rank == 3


def test_zeros_and_nan():
    (row,) = spectra_of("linear", "Linear", torch.zeros(4, 3), (1, 0))
    assert (row.numerical_rank, row.stable_rank, row.energies) == (0, 0.0, (1.0, 1.0, 1.0))
    with pytest.raises(NonFiniteError, match="'linear' holds NaN"):
        spectra_of("linear", "Linear", torch.full((4, 3), torch.nan), (1, 0))

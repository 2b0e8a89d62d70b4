"""Test 10: float32 bases keep their digits however small the singular values of the core."""

import pytest
from benchmarks.basis_precision import errors


@pytest.mark.parametrize("smallest", [1e-2, 1e-4, 1e-6, 1e-8])
def test_10_the_augmented_basis_does_not_depend_on_the_condition_of_the_core(smallest):
    shortcut, ours = errors(smallest)
    assert ours <= 2e-6
    if smallest == 1e-8:
        assert shortcut > 0.1  # what the rotation to HOSVD form is for

"""Least squares from Gram matrices against numpy and scipy."""

import numpy as np
import pytest
from scipy.optimize import nnls

from rankfold.estimators._loadings import contracted, solved


@pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 4, 3)])
def test_contraction(shape):
    rng = np.random.default_rng(0)
    samples, matrices = rng.normal(size=(7, *shape)), [rng.normal(size=(n, 2)) for n in shape]
    for component in range(2):
        basis = np.array(1.0)
        for matrix in matrices:
            basis = np.multiply.outer(basis, matrix[:, component])
        expected = np.tensordot(samples, basis, axes=len(shape))
        np.testing.assert_allclose(contracted(samples, matrices)[:, component], expected, rtol=1e-12)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("deficient", [False, True])
@pytest.mark.parametrize("one_each", [False, True])
def test_solutions(nonnegative, deficient, one_each):
    rng = np.random.default_rng(1)
    design, targets = rng.normal(size=(20, 4)), rng.normal(size=(6, 20))
    if deficient:
        design[:, 3] = design[:, 0]
    gram = design.T @ design
    grams = np.stack([gram] * 6) if one_each else gram
    found = solved(grams, targets @ design, nonnegative=nonnegative)
    if nonnegative:
        assert found.min() >= 0
        expected = np.array([nnls(design, target)[0] for target in targets])
    else:
        expected = np.linalg.lstsq(design, targets.T)[0].T
        np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found @ design.T, expected @ design.T, atol=1e-7)


def test_nothing_determined_is_zero():
    assert np.array_equal(solved(np.zeros((3, 2, 2)), np.zeros((3, 2)), nonnegative=False), np.zeros((3, 2)))
    assert np.array_equal(solved(np.zeros((2, 2)), np.zeros((3, 2)), nonnegative=True), np.zeros((3, 2)))

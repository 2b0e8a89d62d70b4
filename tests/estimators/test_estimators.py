"""What the estimators compute."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from rankfold import OptionError, ShapeError
from rankfold.estimators import CPDecomposer, TuckerDecomposer
from rankfold.testing import assert_notebook_html

SHAPE = (12, 5, 4, 3)


def samples(rank=2, *, positive=False, noise=0.0, shape=SHAPE, dtype=np.float64):
    """A sum of ``rank`` outer products, and its factors."""
    rng = np.random.default_rng(3)
    factors = [rng.uniform(0.1, 1, size=(n, rank)) if positive else rng.normal(size=(n, rank)) for n in shape]
    letters = "abcdefg"[: len(shape)]
    x = np.einsum(",".join(f"{letter}r" for letter in letters) + f"->{letters}", *factors)
    return (x + noise * rng.normal(size=shape)).astype(dtype), factors


def gaps(x, share=0.3):
    holed = x.copy()
    holed[np.random.default_rng(5).uniform(size=x.shape) < share] = np.nan
    return holed


ESTIMATORS = [
    CPDecomposer(rank=2, random_state=0),
    CPDecomposer(rank=2, nonnegative=True, random_state=0),
    TuckerDecomposer(ranks=2, random_state=0),
    TuckerDecomposer(ranks=(2, 2, 2, 2), nonnegative=True, random_state=0),
]


@pytest.fixture(params=ESTIMATORS, ids=str)
def estimator(request):
    return clone(request.param)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_new_samples_get_their_loadings(estimator, dtype):
    x, _ = samples(positive=True, dtype=dtype)
    # Nonnegative Tucker bases are not unique, and those of some samples need not do for the others.
    cone = estimator.nonnegative and isinstance(estimator, TuckerDecomposer)
    found = estimator.fit(x if cone else x[:8])
    loadings = found.transform(x)
    close = 1e-2 if estimator.nonnegative else 1e-4
    assert loadings.shape == (12, 2)
    assert loadings.dtype == dtype
    back = found.inverse_transform(loadings)
    assert back.dtype == dtype
    assert np.linalg.norm(back - x) <= close * np.linalg.norm(x)
    assert found.score(x) >= 1 - close**2
    assert np.allclose(np.tensordot(loadings, found.components_, axes=1), back, rtol=1e-4, atol=1e-4)
    assert not estimator.nonnegative or loadings.min() >= 0
    assert found.sample_shape_ == SHAPE[1:]
    assert found.n_features_in_ == 5
    name = type(estimator).__name__.lower()
    assert found.get_feature_names_out().tolist() == [f"{name}0", f"{name}1"]


def test_loadings_are_least_squares(estimator):
    """No loadings near those of transform fit noisy samples better."""
    x, _ = samples(positive=True, noise=0.3)
    found = estimator.fit(x)
    loadings = found.transform(x)
    error = np.linalg.norm(x - found.inverse_transform(loadings))
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = loadings + 1e-3 * rng.normal(size=loadings.shape)
        if estimator.nonnegative:
            other = np.maximum(other, 0)
        assert np.linalg.norm(x - found.inverse_transform(other)) >= error
    assert found.score(x) == pytest.approx(1 - (error / np.linalg.norm(x)) ** 2)
    # Those of the fit itself are one choice of loadings.
    assert error <= found.relative_error_ * np.linalg.norm(x) * (1 + 1e-6)


def test_missing_entries(estimator):
    if estimator.nonnegative and isinstance(estimator, TuckerDecomposer):
        close = 0.1
    else:
        close = 5e-2 if estimator.nonnegative else 1e-3
    x, _ = samples(positive=True)
    holed = gaps(x)
    with pytest.raises(ValueError, match="contains NaN"):
        estimator.fit(holed)
    found = estimator.set_params(mask="nan").fit(holed)
    loadings = found.transform(holed)
    assert np.isfinite(loadings).all()
    observed = ~np.isnan(holed)
    model = found.inverse_transform(loadings)
    assert np.linalg.norm((model - x)[observed]) <= close * np.linalg.norm(x[observed])
    # Sample by sample the same as a dense least squares problem over the observed entries.
    if not estimator.nonnegative:
        basis = found.components_.reshape(2, -1)
        for sample, loading in zip(holed, loadings, strict=True):
            seen = ~np.isnan(sample.reshape(-1))
            expected = np.linalg.lstsq(basis[:, seen].T, sample.reshape(-1)[seen])[0]
            np.testing.assert_allclose(loading, expected, rtol=1e-6, atol=1e-8)
    assert found.score(holed) >= 1 - close**2


def test_a_sample_without_entries_gets_zeros():
    x, _ = samples()
    found = CPDecomposer(rank=2, mask="nan", random_state=0).fit(x)
    empty = np.full((1, *SHAPE[1:]), np.nan)
    assert np.array_equal(found.transform(empty), np.zeros((1, 2)))
    assert found.score(empty) == 1.0


def test_components_are_found():
    x, (_, *factors) = samples(rank=3, noise=1e-3)
    found = CPDecomposer(random_state=0).fit(x)
    assert found.rank_ == 3
    assert found.result_.agreement.reached
    for fitted, true in zip(found.factors_[1:], factors, strict=True):
        cosines = np.abs(fitted.T @ (true / np.linalg.norm(true, axis=0)))
        assert np.allclose(np.sort(cosines.max(0)), 1, atol=1e-3)
    np.testing.assert_allclose(found.transform(x), found.factors_[0] * found.weights_, rtol=1e-3, atol=1e-4)


def test_tucker_ranks_from_a_tolerance():
    x, _ = samples(rank=2, noise=1e-4)
    found = TuckerDecomposer(tolerance=0.01).fit(x)
    assert found.ranks_ == (2, 2, 2, 2)
    assert found.core_.shape == found.ranks_
    assert [factor.shape for factor in found.factors_] == [(n, 2) for n in SHAPE]


def test_reversed_and_read_only_data(estimator):
    x, _ = samples(positive=True)
    expected = clone(estimator).fit_transform(x[::-1].copy())
    x.flags.writeable = False
    np.testing.assert_allclose(estimator.fit_transform(x[::-1]), expected)


def test_the_data_are_not_changed(estimator):
    x, _ = samples(positive=True)
    before = x.copy()
    estimator.fit(x).score(x)
    assert np.array_equal(x, before)


def test_copies_and_pickles(estimator):
    x, _ = samples(positive=True)
    found = estimator.fit(x)
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.transform(x), found.transform(x))
    assert clone(found).get_params() == found.get_params()
    with pytest.raises(NotFittedError):
        clone(found).transform(x)


def test_model_selection():
    x, _ = samples(rank=2, noise=0.05)
    search = GridSearchCV(TuckerDecomposer(random_state=0), {"ranks": [1, 2]}, cv=3).fit(x)
    assert search.best_params_ == {"ranks": 2}
    pipe = make_pipeline(FunctionTransformer(), TuckerDecomposer(ranks=2)).fit(x)
    assert pipe.transform(x).shape == (12, 2)


def test_ranks_of_a_numpy_range():
    x, _ = samples()
    assert CPDecomposer(np.arange(2, 3)[0], random_state=0).fit(x).rank_ == 2


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_score_far_from_one(scale):
    x, _ = samples(noise=0.3)
    found = CPDecomposer(1, random_state=0)
    assert found.fit(x * scale).score(x * scale) == pytest.approx(found.fit(x).score(x), abs=1e-9)


def test_pandas_output():
    pytest.importorskip("pandas")
    x, _ = samples()
    frame = TuckerDecomposer(ranks=2).set_output(transform="pandas").fit_transform(x)
    assert list(frame.columns) == ["tuckerdecomposer0", "tuckerdecomposer1"]


def test_other_shapes_are_refused(estimator):
    x, _ = samples(positive=True)
    found = estimator.fit(x)
    with pytest.raises(ShapeError, match=r"got samples of shape \(5, 4, 2\), those of fit are \(5, 4, 3\)"):
        found.transform(x[..., :2])
    with pytest.raises(ValueError, match="is expecting 5 features"):
        found.transform(x[:, :4])
    with pytest.raises(ShapeError, match="pass 2 each"):
        found.inverse_transform(np.ones((4, 3)))
    with pytest.raises(OptionError, match="got mask 'inf'"):
        clone(estimator).set_params(mask="inf").fit(x)


def test_without_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None\nimport rankfold.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: rankfold.estimators needs scikit-learn, which is not installed; "
        "pip install 'rankfold[estimators]'."
    )


def test_notebooks_show_the_estimator_as_scikit_learn_does_and_the_result_as_we_do(estimator):
    assert type(estimator).__name__ in estimator._repr_html_()
    found = estimator.fit(samples(positive=True)[0])
    for shown in (found, make_pipeline(found)):
        assert type(estimator).__name__ in shown._repr_html_()
    assert "12x5x4x3" in assert_notebook_html(found.result_).text

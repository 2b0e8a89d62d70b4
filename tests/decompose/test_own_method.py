"""A CP method need not be registered: cp takes the record itself."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.base import clone
from tests.decompose.cp_problems import exact
from torch import Tensor

from rankfold import OptionError, cp
from rankfold.decompose import METHODS, Data, Method, Settings, balance, random_factors
from rankfold.estimators import CPDecomposer


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """Gradient descent would do; this is plain alternating least squares in the words of the public names."""
    factors = random_factors(data, rank, settings.generator)
    for _ in range(settings.max_iterations or 200):
        for mode, right, gram in data.sweep(factors):
            factors[mode] = right @ torch.linalg.pinv(gram, hermitian=True)
        error = (2 * data.loss(factors)) ** 0.5 / data.norm
        if settings.recorder.note("own", error, rank):
            break
    return balance(factors)


OWN = Method("own", solve, "Alternating least squares once more.", "this test")


@pytest.mark.parametrize("name", METHODS)
def test_a_record_answers_as_its_name_does(name: str) -> None:
    x = exact((6, 5, 4), 2, 1)
    by_name, by_record = (cp(x, 2, method=method, generator=0) for method in (name, METHODS[name]))
    assert by_name.method == by_record.method == name
    assert all(map(torch.equal, by_name.tensor.tensors, by_record.tensor.tensors))


def test_an_own_one_answers_and_is_not_registered() -> None:
    x = exact((6, 5, 4), 2, 1)
    parts = cp(x, 2, method=OWN, generator=0)
    assert parts.method == "own"
    assert parts.relative_error < 1e-6
    assert {point.method for point in parts.trace} == {"own"}
    assert "own" not in METHODS


def test_what_it_does_not_take_is_refused_under_its_name() -> None:
    with pytest.raises(OptionError, match=r"the method 'own' does not take a mask; methods that do: als"):
        cp(exact((6, 5, 4), 2, 1), 2, method=OWN, mask=torch.ones(6, 5, 4, dtype=torch.bool))


@pytest.mark.parametrize("method", [3, None, Method])
def test_what_is_neither_name_nor_record_is_refused(method: object) -> None:
    with pytest.raises(OptionError, match=r"cp method: got .*, known are"):
        cp(exact((6, 5, 4), 2, 1), 2, method=method)  # pyright: ignore[reportArgumentType]


def test_the_estimator_takes_it() -> None:
    samples: Sequence = exact((6, 5, 4), 2, 1).numpy()
    model = clone(CPDecomposer(rank=2, method=OWN, random_state=0))
    assert np.isfinite(model.fit_transform(samples)).all()
    assert model.result_.method == "own"

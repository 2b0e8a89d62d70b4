"""Every registered regulariser keeps the contract."""

import pytest

from rankfold import OptionError
from rankfold.regularize import REGULARIZERS, Exclusion
from rankfold.testing import RegularizerContract


class TestFrobeniusDecay(RegularizerContract):
    regularizer = REGULARIZERS["frobenius_decay"]


class TestGatedRank(RegularizerContract):
    regularizer = REGULARIZERS["gated_rank"]


class TestBalancedGates(RegularizerContract):
    regularizer = REGULARIZERS["balanced_gates"]


class TestHadamard(RegularizerContract):
    regularizer = REGULARIZERS["hadamard"]


class TestLatentDropout(RegularizerContract):
    regularizer = REGULARIZERS["latent_dropout"]


class TestSpectralPenalty(RegularizerContract):
    regularizer = REGULARIZERS["spectral_penalty"]


def test_all_regularisers_are_under_contract() -> None:
    under_contract = {
        value.regularizer.name
        for value in globals().values()
        if isinstance(value, type)
        and issubclass(value, RegularizerContract)
        and value is not RegularizerContract
    }
    assert under_contract == set(REGULARIZERS)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"'lasso', known are balanced_gates, frobenius_decay"):
        REGULARIZERS["lasso"]


def test_exclusions() -> None:
    everywhere, here = Exclusion("why"), Exclusion("why", forms=("cp",), optimizers=("sgd",))
    assert everywhere.applies("cp", "adam")
    assert here.applies("cp", "sgd")
    assert not here.applies("tt", "sgd")
    assert not here.applies("cp", "adam")

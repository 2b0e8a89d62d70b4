"""Every registered initialiser keeps the contract."""

import pytest

from rankfold import OptionError
from rankfold.init import INITIALIZERS
from rankfold.testing import InitializerContract


class TestOrthonormal(InitializerContract):
    initializer = INITIALIZERS["orthonormal"]


class TestSpectral(InitializerContract):
    initializer = INITIALIZERS["spectral"]
    matched = False


class TestNormal(InitializerContract):
    initializer = INITIALIZERS["normal"]


def test_all_initialisers_are_under_contract() -> None:
    under_contract = {test.initializer.name for test in (TestOrthonormal, TestSpectral, TestNormal)}
    assert under_contract == set(INITIALIZERS)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"'svd', known are normal, orthonormal, spectral"):
        INITIALIZERS["svd"]

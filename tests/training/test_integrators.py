"""Every registered integrator keeps the contract."""

import pytest

from rankfold import OptionError
from rankfold.testing import IntegratorContract
from rankfold.training import INTEGRATORS


class TestAugmented(IntegratorContract):
    integrator = INTEGRATORS["augmented"]


class TestParallel(IntegratorContract):
    integrator = INTEGRATORS["parallel"]


class TestFixed(IntegratorContract):
    integrator = INTEGRATORS["fixed"]


def test_all_integrators_are_under_contract():
    under_contract = {t.integrator.name for t in (TestAugmented, TestParallel, TestFixed)}
    assert under_contract == set(INTEGRATORS)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(OptionError, match=r"'bug'.*augmented, fixed, parallel"):
        INTEGRATORS["bug"]

"""One thread, one seed, and the same hypothesis examples on every machine."""

import sys

import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("rankfold.testing")
torch.set_num_threads(1)
settings.register_profile("rankfold", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("rankfold")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def numpy_backend_of_tensorly() -> None:
    """tensorly-torch, which some tests import, makes torch the default of tensorly for all that follow."""
    tensorly = sys.modules.get("tensorly")
    if tensorly is not None and tensorly.get_backend() != "numpy":
        tensorly.set_backend("numpy")

"""One thread, one seed, and the same hypothesis examples on every machine."""

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

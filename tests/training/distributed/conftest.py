"""Two groups of workers, each started once for all tests of this folder."""

from functools import partial

import pytest
from tests.training.distributed import cases
from tests.training.distributed.group import run_workers


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    stored = {
        f"stored {inner}": partial(cases.stored, inner=inner, folder=folder / inner) for inner in cases.STORED
    }
    return run_workers(2, {**cases.PAIR, **stored}, folder)


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    return run_workers(3, cases.THREE, tmp_path_factory.mktemp("three"))

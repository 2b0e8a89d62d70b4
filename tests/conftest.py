"""One thread, one seed, and the same hypothesis examples on every machine."""

import itertools
import os
import sys

# Of NumPy's and SciPy's threads, too, and of the processes that tests start: several tests run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

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


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    from tests.report.page.browser import start

    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page, as data or as a file, at a width, light or dark; after the test the console must be silent."""
    from tests.report.page.browser import console_of, open_page

    from rankfold.report.page import Page, render_page

    numbers = itertools.count()

    def opened(page, *, width=1200, dark=False):
        file = page
        if isinstance(page, Page):
            file = tmp_path / f"visited-{next(numbers)}.html"
            file.write_text(render_page(page), encoding="utf-8")
        open_page(browser, file, width=width, dark=dark)
        return browser

    yield opened
    assert console_of(browser) == []

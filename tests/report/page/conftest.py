"""One browser for all tests of pages."""

import itertools
from pathlib import Path

import pytest

from rankfold.report.page import render_page


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    from tests.report.page.browsing import started_browser

    driver = started_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page, or a file of one, at a width, light or dark; after the test the console must be silent."""
    from tests.report.page.browsing import open_file

    numbers = itertools.count()

    def opened(page, *, width=1200, dark=False):
        file = page
        if not isinstance(page, Path):
            file = tmp_path / f"{next(numbers)}.html"
            file.write_text(render_page(page), encoding="utf-8")
        open_file(browser, file, width, dark)
        return browser

    yield opened
    assert [entry["message"] for entry in browser.get_log("browser")] == []

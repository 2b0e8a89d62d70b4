"""A page runs once for all tests of it, however many look at what it left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.pages import Shown, run_page


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shown]:
    """Runs a page, or gives what it left when it ran before."""
    found: dict[str, Shown] = {}

    def run(page: str) -> Shown:
        if page not in found:
            found[page] = run_page(page, tmp_path_factory.mktemp(Path(page).stem))
        return found[page]

    return run


@pytest.fixture
def shown(request: pytest.FixtureRequest, run_once: Callable[[str], Shown]) -> Shown:
    """What the page of a test module left behind; the module names it in ``PAGE``."""
    return run_once(request.module.PAGE)

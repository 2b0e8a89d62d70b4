"""The page of a training run with 100 layers, 10,000 epochs and 10,000 changes of rank, from its files.

How soon it is painted is a time, so it is in ``benchmarks/page_paint.py``.
"""

import pytest
from benchmarks._large_run import LARGE_MODEL, LAYERS, RECORDS, write_large_run
from tests.report.page.browser import By, pointed_values
from tests.report.page.pages import parsed

from rankfold.cli import main
from rankfold.models import MODELS


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "run"
    write_large_run(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._entries, LARGE_MODEL.name, LARGE_MODEL)
        assert main(["report", str(folder)]) == 0
    return folder / "report.html"


def test_it_stays_under_two_megabytes_and_says_what_was_left_out(page):
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 2e6
    tree = parsed(text)
    charts = [figure.one("strong").text for figure in tree.all("figure")]
    assert (
        sum(chart.isdigit() for chart in charts) == 2 * LAYERS
    )  # ranks and spectra of every layer, by its number
    notes = [node.text for node in tree.all("p") if node.get("class") == "note"]
    assert any(f"of {RECORDS:,} points are drawn" in note for note in notes)
    assert len(list(tree.one("main").all("table"))) > 2 * LAYERS


def test_it_opens_and_answers(visit, page):
    driver = visit(page)
    figure = driver.find_element(By.CSS_SELECTOR, "figure.chart")
    shown, stored = pointed_values(driver, figure)
    assert shown == stored
    maps = driver.find_elements(By.CSS_SELECTOR, "figure[data-kind=heat]")
    assert len(maps) == 1
    shown, stored = pointed_values(driver, maps[0])
    assert shown == stored

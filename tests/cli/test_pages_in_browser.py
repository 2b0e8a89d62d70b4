"""The page that each command leaves, opened in a real browser."""

import numpy as np
import pytest
from tests.report.page.browser import FAINT, TROUBLES, By, pointed_values, sorted_columns, unfold

from rankfold.cli import main

TRAIN = ["--model", "mlp", "--rank", "6", "--epochs", "2", "--batch-size", "400", "--threads", "1"]


def trained(folder):
    assert main(["train", *TRAIN, "--core-steps", "2", "--device", "cpu", "--out", str(folder / "run")]) == 0
    return folder / "run" / "report.html"


def decomposed(folder):
    a, b, c = np.random.default_rng(0).normal(size=(3, 6, 2))
    np.save(folder / "cube.npy", np.einsum("ir,jr,kr->ijk", a, b, c))
    words = [str(folder / "cube.npy"), "--device", "cpu", "--threads", "1", "--out", str(folder / "cube")]
    assert main(["decompose", *words]) == 0
    return folder / "cube" / "report.html"


#: Commands that leave a page, and the page of a small run of each.
COMMANDS = {"train": trained, "decompose": decomposed}


@pytest.fixture(scope="module", params=COMMANDS)
def page(request, tmp_path_factory):
    return COMMANDS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1200, False), (1200, True)])
def test_nothing_overlaps_sticks_out_or_is_faint(visit, page, width, dark):
    driver = visit(page, width=width, dark=dark)
    unfold(driver)
    assert driver.execute_script(TROUBLES) == []
    assert driver.execute_script(FAINT) == []


def test_every_table_sorts(visit, page):
    clicks = sorted_columns(visit(page))
    assert clicks
    for (caption, at, way, cells), (*_, back, reversed_cells) in zip(clicks[::2], clicks[1::2], strict=True):
        assert (way, back) == ("ascending", "descending"), (caption, at)
        assert sorted(cells, key=str) == sorted(reversed_cells, key=str)
        for column, sign in ((cells, 1), (reversed_cells, -1)):
            known = [sign * float(number) for number, _ in column if number]
            assert known == sorted(known), (caption, at)
            missing = [not number for number, _ in column if number is not None]
            assert missing == sorted(missing), (caption, at)


def test_every_chart_shows_its_values(visit, page):
    driver = visit(page)
    unfold(driver)
    figures = driver.find_elements(By.CSS_SELECTOR, "figure.chart")
    assert figures
    for figure in figures:
        shown, stored = pointed_values(driver, figure)
        assert shown == stored, figure.text

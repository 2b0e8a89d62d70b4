"""What the guide to notebooks shows is true: its blocks run, and what they show is what the page has."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import rankfold
from rankfold.formats import _views
from rankfold.testing import NotebookReader, assert_notebook_html

GUIDE = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(PRINTED,) = re.findall(r"```text\n(.*?)```", GUIDE, re.DOTALL)
(SHOWN,) = re.findall(r"^<div class=\"rankfold\">.*</div>$", GUIDE, re.MULTILINE)
TEXT = " ".join(GUIDE.split())


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    return names


def test_every_block_ends_with_what_it_shows(shown: dict[str, Any]) -> None:
    lasts = [ast.unparse(ast.parse(block).body[-1]) for block in BLOCKS]
    assert lasts == ["conversion", "core", "parts", "estimator.result_"]
    for last in lasts:
        assert_notebook_html(eval(last, shown))


def test_the_text_is_the_one_printed(shown: dict[str, Any]) -> None:
    assert str(shown["conversion"]) == PRINTED.rstrip("\n")
    assert [line.rstrip() for line in PRINTED.splitlines()] == PRINTED.splitlines()


def test_the_table_is_the_one_shown(shown: dict[str, Any]) -> None:
    found, written = (NotebookReader(html) for html in (shown["core"]._repr_html_(), SHOWN))
    assert found.text == written.text
    assert found.rows == written.rows
    assert found.pictures == written.pictures
    # Lines are drawn to a tenth of a pixel, which rounding may change.
    assert places(shown["core"]._repr_html_()) == pytest.approx(places(SHOWN), abs=0.2)


def places(html: str) -> list[float]:
    """Numbers of the lines that are drawn."""
    return [
        float(number) for line in re.findall(' d="([^"]*)"', html) for number in re.findall(r"[\d.]+", line)
    ]


def test_layers_and_estimators(shown: dict[str, Any]) -> None:
    assert "`model[0].tucker` shows one layer" in TEXT
    assert "16x3x3x3" in assert_notebook_html(shown["model"][0].tucker).text
    assert "result_" in shown["estimator"]._repr_html_()


def test_sentences(shown: dict[str, Any]) -> None:
    parts = shown["parts"]
    assert parts.agreement.sentence in assert_notebook_html(parts).text
    assert parts.degeneracy.warning is None
    assert "`parts.agreement.sentence` and `parts.degeneracy.warning`" in TEXT


def test_the_bounds_are_those_of_the_code() -> None:
    assert (_views._MOST_NUMBERS, _views._MOST_WORK) == (10**6, 10**9)
    assert "more than a million numbers" in TEXT
    assert "more than a billion multiplications" in TEXT


def test_the_table_names_what_shows_itself() -> None:
    names = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", GUIDE, re.MULTILINE)))
    for name in names:
        kind = getattr(rankfold, name, None) or getattr(rankfold.convert, name)
        assert hasattr(kind, "_repr_html_"), name
    assert len(names) == 9

"""Notebook displays in a real browser: on light and on dark, on a phone and on a desk."""

import html
import re

import pytest
from tests.display.examples import EXAMPLES, HOSTILE, compression, conversion, found, record
from tests.report.page.browser import FAINT

# Background, text, and what JupyterLab 4, VS Code and Colab do to tables, as far as it can disturb.
THEMES = {
    "jupyterlab light": ("#ffffff", "#000000"),
    "jupyterlab dark": ("#111111", "#ffffff"),
    "vs code dark": ("#1f1f1f", "#cccccc"),
    "colab dark": ("#383838", "#e3e3e3"),
}
SURROUNDINGS = """
body{margin:0;padding:8px;font:13px/1.4 sans-serif}
.output table{table-layout:fixed;margin-left:auto;margin-right:auto;font-size:12px;border:none}
.output td,.output th,.output tr{vertical-align:middle;padding:.5em;white-space:nowrap}
.output:not(.markdown) td,.output:not(.markdown) th,.output:not(.markdown) tr{text-align:right}
.output{margin-bottom:16px}
"""

# What sticks out of its own scrolling element does so to the right and can be scrolled to; the page itself stays put.
TROUBLES = """
const troubles = [];
const wide = document.documentElement.scrollWidth;
if (wide > innerWidth) troubles.push(`the page is ${wide} wide`);
const boxes = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  if (!node.data.trim() || node.parentElement.closest('style, title')) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) if (box.width && box.height) boxes.push([box, node.data, node]);
}
for (const drawn of document.querySelectorAll('svg')) boxes.push([drawn.getBoundingClientRect(), 'a picture', drawn]);
for (const [box, words] of boxes) if (box.left < 0) troubles.push(`left of the page: ${words}`);
boxes.sort((a, b) => a[0].top - b[0].top);
for (let i = 0; i < boxes.length; i++)
  for (let j = i + 1; j < boxes.length && boxes[j][0].top < boxes[i][0].bottom; j++) {
    const [one, first, node] = boxes[i], [two, second, other] = boxes[j];
    if (node === other) continue;
    const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
    const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
    if (across > 2 && down > 0.35 * Math.min(one.height, two.height))
      troubles.push(`overlap: ${first.slice(0, 30)} / ${second.slice(0, 30)}`);
  }
return troubles;
"""


def page(values, theme):
    back, ink = THEMES[theme]
    cells = "".join(f"<div class=output>{value._repr_html_()}</div>" for value in values)
    style = f"{SURROUNDINGS}html{{background:{back};color:{ink}}}body{{background:{back}}}"
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>notebook</title><style>{style}</style>{cells}"


@pytest.fixture
def visit(browser, tmp_path):
    def opened(values, theme, width):
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        file = tmp_path / "notebook.html"
        file.write_text(page(values, theme), encoding="utf-8")
        browser.get(file.as_uri())
        browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
        return browser

    yield opened
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.fixture(scope="module")
def everything():
    return [*(build() for build in EXAMPLES.values()), conversion(layers=60)]


@pytest.mark.parametrize(("theme", "width"), [(theme, width) for theme in THEMES for width in (320, 1200)])
def test_nothing_overlaps_and_all_is_read(visit, everything, theme, width):
    driver = visit(everything, theme, width)
    assert driver.execute_script(TROUBLES) == []
    assert driver.execute_script(FAINT) == []
    # On a desk nothing but a long table needs to be scrolled.
    scrolled = (
        "return [...document.querySelectorAll('.rankfold')].filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert width == 320 or driver.execute_script(scrolled) == 0


def test_the_looks_of_the_notebook_do_not_win(visit):
    driver = visit([EXAMPLES["conversion"]()], "jupyterlab light", 1200)
    sides = "return [...document.querySelectorAll('tbody tr:first-child > *')].map(e => getComputedStyle(e).textAlign)"
    assert driver.execute_script(sides) == ["left"] * 4 + ["right"] * 2 + ["left"]


def test_a_picture_has_the_colour_of_the_text(visit, everything):
    colour = "return getComputedStyle(document.querySelector('svg path')).stroke"
    assert visit(everything, "jupyterlab light", 1200).execute_script(colour) == "rgb(0, 0, 0)"
    assert visit(everything, "jupyterlab dark", 1200).execute_script(colour) == "rgb(255, 255, 255)"


def test_hostile_names_do_nothing(visit):
    names = [name.replace("\x00", "") for name in HOSTILE]
    values = [conversion(*names), compression(*names), *map(record, names), *(found(method=n) for n in names)]
    driver = visit(values, "jupyterlab light", 320)
    assert driver.title == "notebook"
    assert driver.execute_script("return document.images.length + document.scripts.length") == 0
    assert driver.execute_script(TROUBLES) == []


def test_it_can_be_read_where_styles_and_pictures_are_taken_out(visit, everything, tmp_path, browser):
    """As GitHub and notebooks that are not trusted show it: the numbers stay."""
    value = EXAMPLES["cp, rank found"]()
    stripped = re.sub("<style>.*?</style>|<svg.*?</svg>", "", value._repr_html_())
    file = tmp_path / "stripped.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{stripped}", encoding="utf-8")
    browser.get(file.as_uri())
    words = browser.find_element("tag name", "body").text
    for cell in re.findall("<t[dh][^>]*>([^<]+)", stripped):
        assert html.unescape(cell) in words

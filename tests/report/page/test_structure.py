"""Pages stand on their own, and can be read without eyes or without a mouse."""

import base64
import hashlib
import re
from itertools import pairwise

import pytest
from tests.report.page.pages import every_block, parsed, study_record, training_record

from rankfold.report.page import Live, Page, render_page, study_page, training_page


@pytest.fixture(
    params=[
        every_block,
        lambda: Page(title="empty", subtitle=""),
        lambda: training_page([training_record()], ["low"]),
        lambda: training_page([training_record(layers=12), training_record("twin", dense=True)], ["a", "b"]),
        lambda: study_page([study_record()], ["small"]),
        lambda: study_page([study_record(), study_record("other", study="other")], ["a", "b"]),
        lambda: training_page([training_record()], ["low"], Live("training", 2.0)),
    ],
    ids=["every block", "empty", "one run", "two runs", "study", "studies", "live"],
)
def text(request):
    return render_page(request.param())


@pytest.fixture
def tree(text):
    return parsed(text)


def test_it_is_one_html_document(text, tree):
    assert text.lstrip().startswith("<!DOCTYPE html>")
    (html,) = (child for child in tree.children if child.tag == "html")
    assert html.get("lang") == "en"
    for tag in ("h1", "main", "header", "footer", "nav", "title"):
        assert len(list(html.one("body" if tag not in ("title",) else "head").all(tag))) >= 1
    assert len(list(html.all("h1"))) == len(list(html.all("main"))) == 1
    assert html.one("nav").get("aria-label")


def test_nothing_is_fetched(tree):
    for node in tree.all():
        if node.tag == "img":  # in which no script runs, and from which nothing is fetched
            assert node.attributes.pop("src").startswith("data:image/svg+xml;base64,")
        assert node.tag not in ("iframe", "object", "embed", "base", "form", "use", "image")
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "style"):
            value = node.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (node.tag, name, value)
        assert not [name for name in node.attributes if name.startswith("on")]
    style = tree.one("style").text
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) <= {
        "#inside",
        *(f"#{kind}{at}" for kind in "mp" for at in range(7)),
    }


def test_only_its_own_script_and_style_may_run(tree):
    (policy,) = (node.get("content") for node in tree.all("meta") if node.get("http-equiv"))
    for tag in ("script", "style"):
        (source,) = tree.all(tag)
        digest = base64.b64encode(hashlib.sha256(source.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_only_a_live_page_loads_itself_again(text, tree, request):
    live = "[live]" in request.node.name
    assert ("location.reload" in text) == live
    bars = [node for node in tree.all("aside") if node.get("class") == "live"]
    assert len(bars) == live
    for bar in bars:
        assert (bar.get("aria-label"), bar.one("span").get("role")) == ("State", "status")
        assert bar.one("button").text == "Pause reloading"


def test_names_are_unique_and_lead_somewhere(tree):
    names = [node.get("id") for node in tree.all() if node.get("id")]
    assert len(names) == len(set(names))
    for node in tree.all():
        for attribute in ("aria-labelledby", "aria-describedby"):
            for name in (node.get(attribute) or "").split():
                assert name in names
        link = node.get("href")
        assert link is None or not link.startswith("#") or link[1:] in names


def test_tables_have_captions_and_headers(tree):
    for table in tree.all("table"):
        assert table.one("caption").text.strip()
        heads = list(table.one("thead").all("th"))
        assert all(head.get("scope") == "col" for head in heads)
        for row in table.one("tbody").all("tr"):
            cells = row.children
            assert len(cells) == len(heads)
            assert (cells[0].tag, cells[0].get("scope")) == ("th", "row")
        if table.get("class") == "sortable":
            assert all(head.get("aria-sort") == "none" and head.one("button").text for head in heads)


def test_what_scrolls_can_be_reached_by_keyboard(tree):
    regions = [node for node in tree.all("div") if "scroll" in (node.get("class") or "").split()]
    for region in regions:
        assert (region.get("tabindex"), region.get("role")) == ("0", "region")
        assert region.get("aria-label")
    assert all(table.parent in regions for table in tree.all("table"))


def test_charts_are_told_in_words_and_numbers(tree):
    for figure in tree.all("figure"):
        if figure.get("class") == "picture":
            assert figure.one("img").get("alt")
            continue
        drawing = figure.one("svg")
        assert drawing.get("role") == "img"
        assert {"title", "desc"} <= {child.tag for child in drawing.children}
        plot = drawing.parent
        assert plot.get("tabindex") == "0"
        assert "arrow keys" in plot.get("aria-label")
        details = figure.one("details")
        assert details.get("open") is None
        assert next(details.one("tbody").all("tr"), None) is not None
        assert figure.one("output").get("aria-live") == "polite"
    for drawing in tree.all("svg"):
        inside = drawing.get("role") == "img"
        assert inside or drawing.get("aria-hidden") == "true"


def test_headings_do_not_skip_a_level(tree):
    levels = [int(node.tag[1]) for node in tree.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))

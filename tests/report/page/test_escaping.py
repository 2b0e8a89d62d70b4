"""Names from outside are text, whatever they look like."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.page.pages import HOSTILE, every_block, parsed, shape

from rankfold._display import shortened, visible
from rankfold.report.page import Live, render_page

PLAIN = shape(parsed(render_page(every_block("conv1", "linear"))))
ANY = st.one_of(st.sampled_from(HOSTILE), st.text(), st.text("<>&\"'/{}%#-!=` \x00\u202eab"))

SOME = ANY.filter(bool)  # what has no name has no element either


def without_classes(tree):
    """The class of a cell depends on the length of its words."""
    return [
        (tag, [name for name in names if name != "class"], without_classes(inside))
        for tag, names, inside in tree
    ]


@settings(max_examples=15)
@given(SOME, SOME)
def test_no_name_changes_the_structure(name, other):
    tree = parsed(render_page(every_block(name, other)))
    found, plain = without_classes(shape(tree)), without_classes(PLAIN)
    assert found == plain
    assert tree.one("h1").text == visible(name)
    assert tree.one("title").text == visible(name)
    assert visible(other) in [node.text for node in tree.all("li")]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    text = render_page(replace(every_block(name, name), live=Live(name, 2.0)))
    assert text.encode()  # no lone surrogate
    assert "<script>document" not in text
    assert text.count("<img") == text.count('" src="data:image/svg+xml;base64,') == 1
    tree = parsed(text)
    assert visible(name) in [node.text for node in tree.all("th")]
    assert tree.one("aside").one("span").text == visible(name)
    assert len(list(tree.all("script"))) == 1


@given(ANY)
def test_what_is_written_can_be_seen(name):
    shown = visible(name)
    for letter in shown:
        assert unicodedata.bidirectional(letter) not in {
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "PDF",
            "RLI",
            "LRI",
            "FSI",
            "PDI",
        }
        assert unicodedata.category(letter) not in {"Cs"}
        assert letter in "\t\n" or unicodedata.category(letter) != "Cc"
    assert visible(shown) == shown


@given(st.text(), st.integers(3, 40))
def test_short_names_are_short(name, most):
    short = shortened(name, most)
    assert len(short) <= most
    assert short == name or len(name) > most


def test_numbers_of_layers_survive():
    names = [f"encoder.layers.{number}.attention.out_proj" for number in range(24)]
    assert len({shortened(name, 17) for name in names}) == 24

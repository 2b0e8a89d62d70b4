"""What values show in notebooks and terminals: small, whole, and only text whatever they are called."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.display.examples import (
    EXAMPLES,
    HOSTILE,
    compression,
    conversion,
    cube,
    found,
    record,
)

from rankfold import CP, TT, Tucker
from rankfold._display import Bar, Curve, Drawn, Facts, Grid, Note, View, html_of, one_line, text_of
from rankfold.formats import Format
from rankfold.testing import NotebookReader, assert_notebook_html


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_value_is_shown(name):
    value = EXAMPLES[name]()
    assert_notebook_html(value)
    assert value._repr_html_() == value._repr_html_()
    text = str(value)
    assert text
    assert isinstance(value, Format) == ("\n" not in text)
    assert "\n" not in repr(value)
    assert len(repr(value)) < 400


NAMED = {
    "conversion": conversion,
    "compression": compression,
    "result": lambda name: found(method=name),
    "file": lambda name: record(path=name.replace("\x00", "")),
    "format of an export": lambda name: record(format=name),
}


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(kind, name):
    value, plain = NAMED[kind](name), NAMED[kind]("conv1")
    html = value._repr_html_()
    html.encode()  # no lone surrogate
    assert re.findall("<[a-z/]+", html) == re.findall("<[a-z/]+", plain._repr_html_())
    reader = assert_notebook_html(value)
    if name and len(name) < 80:
        assert one_line(name.replace("\x00", "") if kind == "file" else name) in reader.text
    for text in (str(value), reader.text):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", text)
    assert len(str(value).splitlines()) == len(str(plain).splitlines())
    assert max(map(len, str(value).splitlines())) < 800


@settings(max_examples=50)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_names_are_text(names):
    value = conversion(*names)
    reader = assert_notebook_html(value)
    assert len(reader.rows[0]) == len(names) + 1
    assert all(one_line(name) in reader.text for name in names)


def test_long_tables_are_folded_and_those_without_end_are_cut():
    short, long = conversion(layers=20), conversion(layers=21)
    assert "<details>" not in short._repr_html_()
    assert "<details><summary>21 layers</summary><table>" in long._repr_html_()
    endless = conversion(layers=5000)
    reader = assert_notebook_html(endless, most=100_000)
    assert len(reader.rows[0]) == 1 + 200 + 1
    assert "4,800 more layers; print shows all" in reader.text
    assert "80.0% fewer" not in reader.text
    assert "4000 of 5000 layers factorised, 86.8% fewer parameters in them" in reader.text
    assert len(str(endless).splitlines()) == 5003


def test_the_chosen_rank_is_marked():
    value = EXAMPLES["cp, rank found"]()
    (row,) = re.findall(r"<tr class=m>(.*?)</tr>", value._repr_html_())
    assert f">{value.rank}<" in row
    assert ">chosen<" in row
    assert assert_notebook_html(value).text.count("chosen") == 1
    assert f"{value.rank}, found among 1 to {value.rank_path[-1].rank}" in str(value)
    given_rank = EXAMPLES["cp, rank given"]()
    assert "2, given" in str(given_rank)
    assert "chosen" not in given_rank._repr_html_()


def test_warnings_and_how_sure():
    value = found()
    text = assert_notebook_html(value).text
    assert "unsure: no two of 5 independent starts agree" in text
    assert "<p class=w>warning: two components nearly cancel" in value._repr_html_()
    assert "warning: two components nearly cancel" in str(value)
    assert "class=w>" not in EXAMPLES["cp, rank given"]()._repr_html_()


def test_reasons_and_totals():
    value = EXAMPLES["conversion"]()
    text = assert_notebook_html(value).text
    for row in value.skipped:
        assert row.reason in text
    assert f"{len(value.converted)} of 3 layers factorised" in text
    assert "parity error" in text
    assert "output change" in text


def test_what_cannot_be_shown_is_a_line(monkeypatch):
    value = Tucker.from_dense(cube(), ranks=3)

    def fails(self):
        raise RuntimeError("CUDA error: out of <memory>")

    monkeypatch.setattr(Format, "norm", fails)
    assert value._repr_html_() == "<pre>Tucker(shape=(12, 10, 8), ranks=(3, 3, 3), float64)</pre>"
    result = EXAMPLES["tucker result"]()
    assert str(result) == repr(result)
    NotebookReader(result._repr_html_())


LARGE = {
    "many modes": EXAMPLES["tt of many modes"],
    "many numbers": lambda: CP(torch.ones(9), (torch.ones(1).expand(10**9, 9), torch.ones(5, 9))),
    "much work": lambda: Tucker(
        torch.ones(1).expand(900, 900), (torch.ones(1).expand(950, 900), torch.ones(1).expand(950, 900))
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_of_large_tensors_only_the_shape_is_shown(name):
    """In float64 the numbers of the first would take 72 GB."""
    text = assert_notebook_html(LARGE[name]()).text
    assert "Too large to compute norms and spectra for a display." in text
    assert "shape" in text
    assert "norm0" not in text


def test_nothing_dense_is_formed():
    """The dense tensors would take 8 TB."""
    wide = [torch.rand(10_000, 4) for _ in range(3)]
    for value in (
        CP(torch.rand(4), tuple(wide)),
        Tucker(torch.rand(4, 4, 4), tuple(wide)),
        TT((wide[0].unsqueeze(0), torch.rand(4, 10_000, 4), wide[2].mT.unsqueeze(2))),
    ):
        assert "norm" in assert_notebook_html(value).text
        assert "1,000,000,000,000" in value._repr_html_()


def test_a_display_changes_nothing_and_draws_nothing():
    value = EXAMPLES["cp, rank found"]()
    before = [part.clone() for part in value.tensor.tensors]
    state = torch.get_rng_state()
    with torch.no_grad():
        value._repr_html_()
    assert torch.is_grad_enabled()
    assert all(torch.equal(a, b) for a, b in zip(before, value.tensor.tensors, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_numbers_of_any_kind_are_drawn():
    values = [float("nan"), float("inf"), -1.0, 0.0, 1e-300, 1e300, 1.0]
    for length in (0, 1, 2, 7, 1000):
        for shift in range(7):
            part = ([*values[shift:], *values[:shift]] * 200)[:length]
            cell = Drawn("x", Curve(part, "curve & <words>", list(range(length))))
            facts = Facts((("a", cell), ("b", Drawn("y", Bar(values[shift]))), ("c", Drawn("z", Bar(None)))))
            html = html_of(View("t", (facts,)))
            assert NotebookReader(html).pictures == ["curve & <words>", "", ""]
            assert "nan" not in html
            assert "inf" not in html
            assert len(html) < 3000


def test_a_terminal_leaves_pictures_out():
    view = View("Title", (Grid(("a", "b"), (("x", Drawn("1", Bar(0.5))),), numbers=(1,)), Note("end")))
    assert text_of(view) == "a  b\nx  1\nend"

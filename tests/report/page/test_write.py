"""Files: whole or not there, and the same for the same."""

import sys
from dataclasses import replace

import pytest
from tests.report.page.pages import every_block

from rankfold._errors import CheckpointError
from rankfold.report.page import _render, render_page, write_page


def test_equal_pages_are_equal_files(tmp_path):
    assert write_page(every_block(), tmp_path / "a.html") is None
    assert write_page(every_block(), tmp_path / "b.html") is None
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == render_page(every_block())
    assert render_page(replace(every_block(), title="other")) != render_page(every_block())


def test_a_write_that_fails_leaves_the_old_page(tmp_path, monkeypatch):
    file = tmp_path / "report.html"
    file.write_text("old")

    def full(*positional, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_page(every_block(), file)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert file.read_bytes() == b"old"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="cannot write there"):
        write_page(every_block(), tmp_path / "nowhere" / "report.html")


def test_without_jinja(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "jinja2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(_render, "_template", _render._template.__wrapped__)  # not what is compiled already
    sentence = "no page: jinja2 is not installed; pip install 'rankfold[cli]'."
    assert write_page(every_block(), tmp_path / "report.html") == sentence
    assert list(tmp_path.iterdir()) == []

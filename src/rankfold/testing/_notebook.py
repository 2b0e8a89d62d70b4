"""What HTML in a notebook has to be: small, whole, and nothing that acts."""

from html.parser import HTMLParser
from typing import Any

__all__ = ["NotebookReader", "assert_notebook_html"]

# What is written here, and no more: nothing that loads, runs or submits.
_TAGS = {"div", "style", "p", "b", "pre", "details", "summary", "svg", "path"}
_TABLE_TAGS = {"table", "thead", "tbody", "tfoot", "tr", "th", "td"}
_ATTRIBUTES = {"class", "scope", "colspan", "role", "aria-hidden", "aria-label"}
_DRAWING = {"width", "height", "d", "fill", "stroke", "stroke-width", "opacity"}


class NotebookReader(HTMLParser):
    """Reads HTML and fails where a tag stays open, closes another, or is none of those allowed.

    Attributes:
        text: what stands between the tags, style apart.
        rows: the number of cells of each row of each table.
        pictures: the words of each picture, empty where it is hidden from readers aloud.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.rows: list[list[int]] = []
        self.pictures: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"{self._open} stay open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        self._read(tag, attrs)
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens and closes, as only pictures may."""
        assert "svg" in self._open, f"<{tag}/> is no end outside of pictures"
        self._read(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """A tag closes."""
        assert self._open, f"</{tag}> closes nothing"
        opened = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        """Text."""
        if "style" in self._open:
            assert "url" not in data, "a style loads something"
            assert "@" not in data, "a style imports something"
        else:
            self.text += data

    def _read(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert tag in _TAGS | _TABLE_TAGS, f"<{tag}> is not allowed"
        assert set(names) <= _ATTRIBUTES | _DRAWING, f"<{tag}> has attributes {names}"
        assert len(set(names)) == len(names), f"<{tag}> has attributes twice: {names}"
        if tag == "table":
            self.rows.append([])
        elif tag == "tr":
            self.rows[-1].append(0)
        elif tag in ("td", "th"):
            self.rows[-1][-1] += int(dict(attrs).get("colspan") or 1)
        elif tag == "svg":
            hidden, words = ("aria-hidden", "true") in attrs, dict(attrs).get("aria-label")
            assert hidden or (("role", "img") in attrs and words), "a picture without words"
            self.pictures.append(words or "")


def assert_notebook_html(value: Any, *, most: int = 8000) -> NotebookReader:
    """Fail unless a value shows itself in a notebook as it should.

    Arguments:
        value: has ``_repr_html_``.
        most: bytes allowed.

    Returns:
        The reader, for what the value should show.

    Example:
        >>> import torch
        >>> from rankfold import Tucker
        >>> "4x5" in assert_notebook_html(Tucker(torch.ones(4, 5), (None, None))).text
        True
    """
    html = value._repr_html_()
    assert html.startswith("<div class="), f"shown without its view: {html[:200]}"
    assert len(html.encode()) <= most, f"{len(html.encode())} bytes, {most} are allowed"
    reader = NotebookReader(html)
    assert all(len(set(cells)) == 1 for cells in reader.rows), f"rows of different lengths: {reader.rows}"
    return reader

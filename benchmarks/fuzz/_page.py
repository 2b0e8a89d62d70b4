"""Whether everything on a page that came from outside is text."""

import re
from html.parser import HTMLParser

__all__ = ["check_page"]

# What templates and charts write, and nothing else.
_TAGS = """
    a aside body button caption circle clippath code dd defs desc details div dl dt figcaption figure footer g
    h1 h2 h3 head header html img input label li line link main marker meta nav output p path pattern pre rect
    script section span strong style summary svg table tbody td text th thead title tr ul
"""
_ADDRESSES = ("src", "href", "xlink:href", "action", "srcset", "data", "formaction", "poster")
_NO_NUMBER = re.compile(r' (?:d|x|y|width)="[^"]*(?:nan|inf|None)')


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS.split(), f"the page has a <{tag[:40]}>"
        self.scripts += tag == "script"
        for name, value in attrs:
            assert not name.startswith("on"), f"the page has an attribute {name[:40]}"
            assert name != "style", "the page has a style of its own"
            if name in _ADDRESSES:
                own = (
                    value is None
                    or value.startswith(("#", "data:image/svg+xml;base64,"))
                    or value == "data:,"
                )
                assert own, f"the page has the address {str(value)[:40]}"


def check_page(text: str) -> None:
    """Raise AssertionError for elements, attributes, addresses or letters that no page of ours has."""
    text.encode()
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert checker.scripts == 1, f"the page has {checker.scripts} scripts"
    assert text.count("<!--") == 0, "the page has a comment"
    assert not _NO_NUMBER.search(text), "the page draws what is no number"
    bad = next((letter for letter in text if letter < " " and letter not in "\n\t"), None)
    assert bad is None, f"the page has the letter {bad!r}"

"""A hook of the site: names of the library in the text of a page lead to their description."""

import re
from html import escape
from typing import Any

__all__ = ["linked", "on_page_markdown"]

_FENCED = re.compile(r"(^ *```.*?^ *```[^\n]*$|^#[^\n]*$)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?<![`\[])`((?:rankfold|rf)\.(\w[\w.]*)(?:\([^`\n]*\))?)`(?![`\]])")


def linked(markdown: str) -> str:
    """The text with ``rankfold.name`` and ``rf.name`` as links, outside code, headings and other links.

    Example:
        >>> print(linked("See `rf.fold(model)`."))
        See <autoref optional identifier="rankfold.fold"><code>rf.fold(model)</code></autoref>.
    """
    parts = _FENCED.split(markdown)
    parts[::2] = [_NAME.sub(_link, part) for part in parts[::2]]
    return "".join(parts)


def _link(name: re.Match[str]) -> str:
    # Where there is no such description the plugin that resolves these elements leaves their content.
    target = f"rankfold.{name[2]}"
    return f'<autoref optional identifier="{target}"><code>{escape(name[1])}</code></autoref>'


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Called for each page before it becomes HTML."""
    return linked(markdown)

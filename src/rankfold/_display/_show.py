"""Values shown without a chance to fail: a display must not stop anybody's work."""

from collections.abc import Callable

from rankfold._display._html import html_of
from rankfold._display._svg import written
from rankfold._display._text import text_of
from rankfold._display._view import View

__all__ = ["notebook_html", "terminal_text"]


def notebook_html(view: Callable[[], View], otherwise: str) -> str:
    """HTML of a view, or a line of text where it cannot be made.

    Arguments:
        view: makes it; whatever a device or a strange value raises ends here.
        otherwise: the line.

    Example:
        >>> notebook_html(lambda: 1 / 0, "Tucker(...)")
        '<pre>Tucker(...)</pre>'
    """
    try:
        return html_of(view())
    except Exception:
        return f"<pre>{written(otherwise)}</pre>"


def terminal_text(view: Callable[[], View], otherwise: str) -> str:
    """As :func:`notebook_html`, for ``print``."""
    try:
        return text_of(view())
    except Exception:
        return otherwise

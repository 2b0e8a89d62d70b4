"""From a page as data to one HTML file."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from rankfold._checkpoint import atomic_path
from rankfold._display import visible
from rankfold.report.page._blocks import Page
from rankfold.report.page._colours import DARK, DASHES, LIGHT
from rankfold.report.page._parts import page_parts
from rankfold.report.page._thin import RULE

__all__ = ["MISSING", "render_page", "write_page"]

#: The sentence where jinja2 is not installed.
MISSING = "no page: jinja2 is not installed; pip install 'rankfold[cli]'."

# Below the two megabytes that a page may have; choice of this library.
_MOST = 1_900_000
# Values of all charts of a page together, some 20 bytes each on the page; the fewer ones where names are very long.
_BUDGETS = (36_000, 18_000, 6_000)
_WORD = 24  # letters of a word in a table that may stand in one line


def write_page(page: Page, path: Path) -> str | None:
    """Write a page; the file is complete under its name or not there at all.

    Arguments:
        page: any.
        path: of the file, overwritten if it exists.

    Returns:
        None, or the sentence that jinja2 is missing and nothing was written.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        text = render_page(page)
    except ImportError:
        return MISSING
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return None


def render_page(page: Page) -> str:
    """The page as HTML that needs no other file and no network.

    Arguments:
        page: any; equal pages give equal text.

    Returns:
        HTML; long series are thinned, all names escaped.

    Raises:
        ImportError: jinja2 is not installed.

    Example:
        >>> render_page(Page(title="<b>", subtitle="")).count("<title>&lt;b&gt;</title>")
        1
    """
    from markupsafe import Markup

    template, style, whole, live = _template()
    script = live if page.live else whole
    text = ""
    for budget in _BUDGETS:
        text = template.render(
            page=page,
            sections=page_parts(page.sections, budget, Markup),
            rule=RULE,
            style=Markup(style),
            script=Markup(script),
            style_digest=_digest(style),
            script_digest=_digest(script),
        )
        if len(text.encode()) <= _MOST:
            break
    return text


@cache
def _template() -> tuple[Any, str, str, str]:
    """The compiled template, the style sheet, the script, and that of a page that loads itself again."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    sources = files("rankfold.report.page") / "templates"
    names = ("page.html.jinja", "page.css", "page.js", "place.js", "live.js")
    template, style, script, place, live = ((sources / name).read_text(encoding="utf-8") for name in names)
    environment = Environment(
        loader=DictLoader({"page": template}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    # Words that do not break would push their column wide; short ones should never break.
    environment.filters["long"] = lambda text: Markup(' class="long"') if _is_long(text) else ""
    # The place comes last, for it may be on the button that the live page shows.
    return environment.get_template("page"), _colours() + style, script + place, script + live + place


def _is_long(text: str) -> bool:
    """Whether a cell has words that cannot stand in one line."""
    return len(text) > 2 * _WORD or any(len(word) > _WORD for word in text.split())


def _colours() -> str:
    """The colours of lines as variables of the style sheet, light and dark."""
    names = ["".join(f"--c{at}:{colour};" for at, colour in enumerate(side)) for side in (LIGHT, DARK)]
    dashes = "".join(f".s{at}{{--c:var(--c{at});--d:{dash or 'none'}}}" for at, dash in enumerate(DASHES))
    return f":root{{{names[0]}}}@media(prefers-color-scheme:dark){{:root{{{names[1]}}}}}{dashes}"


def _digest(text: str) -> str:
    """What the page's policy knows its own script and style by, so that no others run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

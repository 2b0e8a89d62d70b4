"""A hook of the site: drawings of our own stand in the page itself, so that they follow its switch to light or dark."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

__all__ = ["inlined", "on_page_content"]

_IMAGE = re.compile(r'<img alt="[^"]*" src="([^":]+\.svg)" ?/?>')


def inlined(html: str, folder: Path) -> str:
    """The page with the text of each drawing in the place of its image.

    Arguments:
        html: the content of a page.
        folder: where the addresses of its images begin. Drawings that do not have the class ``figure``, such as plots
            with a white ground of their own, stay images.
    """

    def drawing(image: re.Match[str]) -> str:
        text = (folder / image[1]).read_text(encoding="utf-8")
        return text.strip() if 'class="figure"' in text.partition("\n")[0] else image[0]

    return _IMAGE.sub(drawing, html)


def on_page_content(html: str, page: Page, config: MkDocsConfig, **context: object) -> str:
    """Called for each page when it has become HTML."""
    return inlined(html, Path(config.docs_dir, page.file.src_uri).parent)

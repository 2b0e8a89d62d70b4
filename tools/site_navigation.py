"""A hook of the site: a pattern in the navigation stands for the pages that are there, if any."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

__all__ = ["expanded", "on_files"]

Entry = str | dict[str, Any]


def expanded(navigation: Sequence[Entry], pages: Sequence[str]) -> list[Entry]:
    """The navigation with a page in the place of each pattern.

    Arguments:
        navigation: as in ``mkdocs.yml``; an entry with ``*`` is a pattern.
        pages: paths of all pages below the folder of the documentation. An index comes before the pages beside it,
            the others follow in the order of their names.

    Returns:
        The same form. A section without pages is left out; one that is a pattern of its own and found a single page
        is that page. Entries without ``*`` stay as they are, so that mkdocs complains where such a page is missing.

    Example:
        >>> navigation = [{"Guides": ["a.md", "b*.md"]}, {"Errors": "errors*.md"}, {"More": "c/*.md"}]
        >>> expanded(navigation, ["b1.md", "errors.md"])
        [{'Guides': ['a.md', 'b1.md']}, {'Errors': 'errors.md'}]
    """
    entries: list[Entry] = []
    for entry in navigation:
        if isinstance(entry, Mapping):
            for title, inner in entry.items():
                found = expanded([inner] if isinstance(inner, str) else inner, pages)
                if found:
                    single = isinstance(inner, str) and len(found) == 1
                    entries.append({title: found[0] if single else found})
        elif "*" in entry:
            entries += [_titled(page) for page in sorted(pages, key=_order) if fnmatchcase(page, entry)]
        else:
            entries.append(entry)
    return entries


def _order(page: str) -> tuple[bool, str]:
    path = PurePosixPath(page)
    return path.stem != "README", str(path.with_suffix(""))


def _titled(page: str) -> Entry:
    """The page under its own heading; cards of studies, whose headings are long, under the names of their folders."""
    path = PurePosixPath(page)
    return {path.parent.name: page} if path.name == "card.md" else page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called when all pages are known, those of other hooks included, and before the navigation is built."""
    assert config.nav is not None
    config.nav = expanded(config.nav, [file.src_uri for file in files.documentation_pages()])
    return files

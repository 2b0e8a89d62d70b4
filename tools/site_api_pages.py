"""A hook of the site: a page per public package with every name of its ``__all__``, written as the site is built."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import rankfold

__all__ = ["api_pages", "on_files", "packages"]

# Headings of the page of the library itself, by the package that a name comes from, in the order of use.
TOPICS = {
    "convert": "Converting a model",
    "training": "Training",
    "ranks": "Rank policies",
    "compression": "Compressing a trained network",
    "_checkpoint": "Files of models",
    "export": "Networks without this library",
    "decompose": "Decomposing tensors",
    "_decomposition_file": "Files of decompositions",
    "formats": "Formats",
    "_allocator": "Memory",
    "_errors": "Errors",
}
REST = "More"

Paths = dict[str, Any]


def packages() -> dict[str, ModuleType]:
    """Public packages by name, the library itself first; the command line is described by its own ``--help``."""
    found = [module.name for module in pkgutil.iter_modules(rankfold.__path__)]
    names = [f"rankfold.{name}" for name in sorted(found) if not name.startswith("_") and name != "cli"]
    return {"rankfold": rankfold, **{name: importlib.import_module(name) for name in names}}


def api_pages() -> dict[str, str]:
    """Pages by file name, in Markdown with the blocks of mkdocstrings.

    An object is described on the first page that names it: that of the library, else that of its package. All others
    link there.
    """
    homes: dict[int, str] = {}
    pages = {}
    for name, package in packages().items():
        values = {f"{name}.{public}": getattr(package, public) for public in package.__all__}
        for path, value in values.items():
            homes.setdefault(id(value), path)
        own = {path: value for path, value in values.items() if homes[id(value)] == path}
        parts = [f"# {name}\n", f"{inspect.getdoc(package)}\n"]
        if package is rankfold:
            topics = _by_topic(values)
            parts += _table(topics, homes)
            for topic, members in topics.items():
                parts += [f"## {topic}\n", *_blocks(members, 3)]
        else:
            parts += [*_table({"": values}, homes), *_blocks(own, 2)]
        pages[f"api/{name}.md"] = "\n".join(parts)
    return pages


def _by_topic(values: Paths) -> dict[str, Paths]:
    topics: dict[str, Paths] = {topic: {} for topic in (*TOPICS.values(), REST)}
    for path, value in values.items():
        place = getattr(value, "__module__", "").split(".")[1:2]
        topics[TOPICS.get(place[0], REST) if place else REST][path] = value
    return {topic: members for topic, members in topics.items() if members}


def _table(topics: Mapping[str, Paths], homes: Mapping[int, str]) -> Iterator[str]:
    yield "| name | what it is |\n|---|---|"
    for topic, members in topics.items():
        if topic:
            yield f"| **{topic}** | |"
        for path, value in members.items():
            shown = f"[`{path.rpartition('.')[2]}`]"
            target = f"({value.__name__}.md)" if inspect.ismodule(value) else f"[{homes[id(value)]}]"
            yield f"| {shown}{target} | {_sentence(value)} |"
    yield ""


def _blocks(values: Paths, level: int) -> Iterator[str]:
    for path, value in values.items():
        if inspect.ismodule(value):
            yield f"[`{path}`]({value.__name__}.md) has a page of its own.\n"
            continue
        described = inspect.isroutine(value) or inspect.isclass(value)
        yield f"::: {path}\n    options:\n      heading_level: {level}"
        yield f"      show_if_no_docstring: {str(not described).lower()}\n"
        if isinstance(value, Mapping):
            yield from _records(value.values())


def _records(entries: Iterable[Any]) -> Iterator[str]:
    """The records of a registry that say what they are."""
    rows = [f"| `{entry.name}` | {entry.summary} |" for entry in entries if hasattr(entry, "summary")]
    if rows:
        yield from ("| name | what it is |\n|---|---|", *rows, "")


def _sentence(value: Any) -> str:
    """What a name stands for: its first sentence, the names of a registry, or the value itself."""
    if isinstance(value, Mapping):
        return ", ".join(f"`{name}`" for name in value)
    if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
        text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
        return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text)
    return f"`{value!r}`"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of the folder."""
    for path, text in api_pages().items():
        files.append(File.generated(config, path, content=text))
    return files

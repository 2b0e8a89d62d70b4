"""Pages of the documentation as the tests see them: their blocks, run in order, each page in a folder of its own."""

import io
import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rankfold.studies
import rankfold.training  # noqa: F401 - registries that a page adds to have to be there before it runs
from rankfold._registry import Registry
from rankfold.cli import main

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
# Pages of examples that fail on purpose, in blocks of ``py`` and ``text``; the program that writes a page has run them.
WRITTEN_BY_A_PROGRAM = {"docs/errors.md"}

_BLOCK = re.compile(
    r"^(?:<!-- (?P<word>not run|needs): (?P<what>[^\n]*?) -->\n+)?"
    r"(?P<indent> *)```(?P<language>\w*)(?:[^\S\n]+title=\"(?P<title>[^\"\n]+)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that its title names, and what the comment above it says."""

    page: str
    line: int
    language: str
    title: str | None
    text: str
    not_run: str | None
    needs: str | None

    @property
    def lines(self) -> list[str]:
        """Commands of a console, one a line, without the prompt and with continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


@dataclass
class Shown:
    """What a page has left behind: names of its Python blocks, files, and what its commands printed."""

    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


def text_of(page: str) -> str:
    """The Markdown of a page, by its path below the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """All blocks of a page."""
    text = text_of(page)
    found = []
    for match in _BLOCK.finditer(text):
        indent = len(match["indent"])
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("text")),
                language=match["language"],
                title=match["title"],
                text="".join(line[indent:] or "\n" for line in match["text"].splitlines(keepends=True)),
                not_run=match["what"] if match["word"] == "not run" else None,
                needs=match["what"] if match["word"] == "needs" else None,
            )
        )
    return found


def run_page(page: str, folder: Path) -> Shown:
    """Run a page as a reader would who copies it: Python blocks in one process, commands between them.

    A block with a title becomes that file. A comment above a block may say what it ``needs``, a file below
    RANKFOLD_DATA without which it is left out, or why it is ``not run``.
    """
    torch.manual_seed(0)
    shown = Shown(folder, names={"__name__": page, **PREPARED.get(page, dict)()})
    with pytest.MonkeyPatch.context() as patch, as_before(folder):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        for block in blocks_of(page):
            if block.not_run is None and (block.needs is None or has_data(block.needs)):
                _run_block(block, shown)
    return shown


def _run_block(block: Block, shown: Shown) -> None:
    if block.title is not None:
        Path(block.title).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        # Empty lines in front, so that a traceback names the line of the page.
        exec(compile("\n" * block.line + block.text, block.page, "exec"), shown.names)
    elif block.language == "console":
        for line in block.lines:
            with as_before(shown.folder):
                shown.printed[line] = run_command(line)


def run_command(line: str) -> str:
    """Run ``rankfold ...`` or ``python FILE ...`` in this process and give what it printed."""
    program, *words = shlex.split(line)
    printed = io.StringIO()
    with redirect_stdout(printed):
        if program == "rankfold":
            code = main(words)
        else:
            assert program == "python", f"{line}: only rankfold and python can be run; say why it is not run"
            code = _run_program(words)
    assert code == 0, (line, printed.getvalue())
    return printed.getvalue()


def _run_program(words: list[str]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(str(Path(words[0]).resolve().parent))
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            return end.code
    return 0


def has_data(needs: str) -> bool:
    """Whether RANKFOLD_DATA names a folder with this file."""
    return Path(os.environ.get("RANKFOLD_DATA", ""), needs).is_file() and "RANKFOLD_DATA" in os.environ


def labels(text: str) -> list[str]:
    """First column of each line of a printed text, without figures, which are those of one machine."""
    lines = (re.sub(r"[\d.,%]+", "#", line).strip() for line in text.splitlines())
    return [
        re.split(r"\s{2,}", line)[0].replace("threads", "thread")
        for line in lines
        if not re.search("^─*$|: kept dense", line)
    ]


def pages_with_tests() -> set[str]:
    """Pages that a test module of their own runs and looks at."""
    modules = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    return {page for text in modules for page in re.findall(r'^PAGE = "(.*)"$', text, re.MULTILINE)}


@contextmanager
def as_before(folder: Path) -> Iterator[None]:
    """Afterwards registries have the entries they had, and modules from the folder are forgotten."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("rankfold")]
    found = {
        id(value): value
        for one in modules
        for value in list(vars(one).values())
        if isinstance(value, Registry)
    }
    entries = [(registry, dict(registry)) for registry in found.values()]
    try:
        yield
    finally:
        for registry, before in entries:
            registry._entries = before
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[name]


def _readme() -> dict[str, Any]:
    inputs = [torch.randn(8, 60) for _ in range(12)]
    return {
        "MyNet": lambda: nn.Sequential(nn.Linear(60, 50), nn.ReLU(), nn.Linear(50, 40)),
        "loader": [(x, torch.randint(0, 40, (8,))) for x in inputs],
        "batches": inputs,
        "x": inputs[0],
    }


# What a page leaves to its reader, by name.
PREPARED: dict[str, Callable[[], dict[str, Any]]] = {"README.md": _readme}

"""The guides to extending: files that their blocks name, and what their commands print."""

import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from rankfold._registry import Registry
from rankfold.cli import main
from rankfold.convert import POLICIES, RULES
from rankfold.decompose import METHODS
from rankfold.training import INTEGRATORS, TRANSPORT_RULES

ROOT = Path(__file__).parents[2]
REGISTRIES: tuple[Registry, ...] = (INTEGRATORS, METHODS, POLICIES, RULES, TRANSPORT_RULES)


class Guide:
    """A page of docs/extend, written out into a folder."""

    def __init__(self, page: str, folder: Path) -> None:
        self.text = (ROOT / page).read_text(encoding="utf-8")
        self.folder = folder
        self.files = dict(re.findall(r'```python title="(.*?)"\n(.*?)```', self.text, re.DOTALL))
        self.commands = [
            line.removeprefix("$ ")
            for block in re.findall(r"```console\n(.*?)```", self.text, re.DOTALL)
            for line in block.splitlines()
        ]
        self.outputs = re.findall(r"```text\n(.*?)```", self.text, re.DOTALL)
        folder.mkdir(exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_text(content, encoding="utf-8")

    def run(self, line: str) -> str:
        """Run ``rankfold ...`` or ``python FILE ...`` in the folder, and give what it printed."""
        program, *words = shlex.split(line)
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, registries_as_before(), modules_as_before(self.folder):
            patch.chdir(self.folder)
            patch.setenv("COLUMNS", "100")
            patch.syspath_prepend(str(self.folder))
            patch.setattr(sys, "argv", words)
            with redirect_stdout(printed):
                code = main(words) if program == "rankfold" else _run_file(words[0])
        assert code == 0, (line, printed.getvalue())
        return printed.getvalue()


def lines_of_code(text: str) -> int:
    """Lines that are not empty."""
    return sum(bool(line.strip()) for line in text.splitlines())


def figures(text: str) -> list[float]:
    """All numbers of a text."""
    return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?", text)]


@contextmanager
def registries_as_before() -> Iterator[None]:
    """Afterwards registries have the entries they had."""
    before = [(registry, dict(registry)) for registry in REGISTRIES]
    try:
        yield
    finally:
        for registry, entries in before:
            registry._entries = entries


@contextmanager
def modules_as_before(folder: Path) -> Iterator[None]:
    """Afterwards modules from the folder are forgotten."""
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").parent == folder:
                del sys.modules[name]


def _run_file(file: str) -> object:
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        return end.code
    return 0

"""Every command that a page names can be given: ``rankfold`` reads its words, modules, files and targets are there."""

import re
import shlex
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, WRITTEN_BY_A_PROGRAM, blocks_of, text_of

from rankfold import CheckpointError, DataError
from rankfold.cli._arguments import parse

FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
# A study for the one that the reader chooses or writes; anything else in its place is a path.
FILLED_IN = {"NAME": "deflation", "uniqueness": "deflation"}


def spoken(page: str) -> set[str]:
    """Commands in blocks that are no Python, and in the text of a page."""
    found: set[str] = set()
    for block in blocks_of(page) if page not in WRITTEN_BY_A_PROGRAM else ():
        if block.language != "python":
            lines = block.text.replace("\\\n", " ").splitlines()
            found |= {line.removeprefix("$ ").partition("#")[0].strip() for line in lines}
    found |= {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text_of(page)))}
    return found


COMMANDS = sorted({command for page in PAGES for command in spoken(page)})


@pytest.mark.parametrize("command", [one for one in COMMANDS if re.match(r"rankfold [a-z]", one)])
def test_rankfold_reads_the_words(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(command)
    if len(words) == 1:  # the name of the command, unless it needs no more words
        words.append("--help")
    for place, word in enumerate(words):
        words[place] = FILLED_IN.get(word, f"RUN_{place}" if word == "RUN" else word)
        if "/" in word:
            Path(word).parent.mkdir(parents=True, exist_ok=True)
    code: object = 0
    try:
        parse(words)
    except (CheckpointError, DataError):
        pass  # a file that the page speaks of is not here
    except SystemExit as end:  # after --help, and for words that cannot be read
        code = end.code
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("python -m ")])
def test_the_module_is_there(command: str) -> None:
    place = ROOT.joinpath(*command.split()[2].split("."))
    if place.relative_to(ROOT).parts[0] in ("benchmarks", "tools"):
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def test_the_targets_are_there() -> None:
    named = {one.split()[1] for one in COMMANDS if re.fullmatch(r"make [\w-]+", one)}
    targets = re.findall(r"^([\w-]+):", Path(ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= set(targets)
    assert "demo" in named

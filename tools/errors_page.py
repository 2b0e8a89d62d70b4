"""Write docs/errors.md: every error class with examples, each message that of the error which the code shown raises."""

import contextlib
import inspect
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from rankfold import RankfoldError, _errors, studies
from rankfold.cli import main as command_line
from rankfold.report import markdown_table
from tools.error_examples import COMMANDS, EXAMPLES, Command, Example

__all__ = ["PAGE", "errors_page", "message", "public_errors", "refusal"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "errors.md"

# What every block of the page can use.
_PRELUDE = """\
from pathlib import Path
import torch
import rankfold as rf
from torch import Tensor, nn"""

_INTRODUCTION = f"""\
# Error messages

When something cannot be done, Rankfold says so in one sentence: where it happened, what came, what is allowed, and what
to do about it. A call that is refused changes nothing: files, models and optimisers are as they were.

Each message on this page was made by running the code above it (`python -m tools.errors_page`). All blocks begin with

```python
{_PRELUDE}
```

Every error that Rankfold raises on purpose is a `rankfold.RankfoldError`. Most are a `ValueError` too (an argument is
wrong) or a `RuntimeError` (the data, a file or the model is), so existing `except` clauses go on working:

```python
try:
    rf.cp(torch.rand(4, 5, 6), 100)
except rf.RankfoldError as error:
    print(error)
```

[On the command line](#on-the-command-line) the same sentence is printed instead of a traceback.

"""

_STUDIES = """\
The last three are of `rankfold.studies`. `NotRun` and `NotPart` are answers more than failures: whoever runs a study
never meets them, for the page of the study shows their words where a check could not be decided."""

_COMMAND_LINE = """\
## On the command line

A command prints the sentence to its error output and ends with exit code 2. There is no traceback, and no file is left
behind. Ctrl-C ends with 130, SIGTERM with 0 where everything is saved; both say how to go on."""


def errors_page() -> str:
    """The whole page; runs every example in a folder of its own."""
    parts = [_INTRODUCTION + markdown_table([_row(error) for error in public_errors()]), _STUDIES]
    for error in public_errors():
        parts.append(f"## {error.__name__}\n\n{inspect.getdoc(error)}")
        parts += [_section(example) for example in EXAMPLES if example.error is error]
    parts.append(_COMMAND_LINE)
    parts += [_command_section(command) for command in COMMANDS]
    return "\n\n".join(parts) + "\n"


def public_errors() -> list[type[RankfoldError]]:
    """The classes of errors that users can meet, in the order of the page; their base is none of them."""
    named = [getattr(_errors, name) for name in _errors.__all__]
    named += [value for value in map(vars(studies).get, studies.__all__) if isinstance(value, type)]
    return [error for error in named if issubclass(error, RankfoldError) and error is not RankfoldError]


def message(example: Example) -> str:
    """What the error says that the code of an example raises.

    Raises:
        AssertionError: it raises nothing, or another error.
    """
    raised: RankfoldError | None = None
    with _empty_folder():
        torch.manual_seed(0)
        try:
            exec(f"{_PRELUDE}\n{example.code}", {"__name__": "example"})
        except RankfoldError as error:
            raised = error
    assert raised is not None, f"{example.title}: nothing was raised"
    assert type(raised) is example.error, f"{example.title}: raised {type(raised).__name__}"
    return re.sub(r"\(\w+Error: .*?\); ", "(...); ", str(raised)) if example.quotes else str(raised)


def refusal(command: Command) -> str:
    """What a command line prints to its error output.

    Raises:
        AssertionError: it does not end with exit code 2.
    """
    output = io.StringIO()
    with _empty_folder():
        command.prepare()
        with contextlib.redirect_stderr(output):
            code = command_line(command.words)
    assert code == 2, f"{command.title}: exit code {code}"
    return output.getvalue().strip()


def _row(error: type[RankfoldError]) -> dict[str, str]:
    name, what = error.__name__, inspect.getdoc(error) or ""
    builtin = next(base for base in error.__mro__ if base.__module__ == "builtins")
    return {
        "class": f"[`{name}`](#{name.lower()})",
        "tells of": (what if what.startswith("NaN") else what[0].lower() + what[1:]).rstrip("."),
        "is also": builtin.__name__,
    }


def _section(example: Example) -> str:
    plain = re.sub(r"([\\`*<\[])", r"\\\1", message(example))  # what Markdown would take for marks
    return f"### {example.title}\n\n```py\n{example.code}\n```\n\n> {plain}"


def _command_section(command: Command) -> str:
    line = shlex.join(("rankfold", *command.words))
    return f"### {command.title}\n\n```text\n$ {line}\n{refusal(command)}\n```"


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    """Work in a folder of its own, so that messages name files by their relative names."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def main() -> None:
    """Write the page."""
    PAGE.write_text(errors_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

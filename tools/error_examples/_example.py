"""One example of an error: what a user did, and the code that triggers it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from rankfold import RankfoldError

__all__ = ["COMMANDS", "EXAMPLES", "Command", "Example", "shows"]


@dataclass(frozen=True)
class Example:
    """Code that raises an error.

    Arguments:
        error: the class of the error.
        trigger: a function without arguments whose docstring says what a user did, and whose body raises the error.
        quotes: whether the message quotes PyTorch, whose words differ from version to version.
    """

    error: type[RankfoldError]
    trigger: Callable[[], object]
    quotes: bool = False

    @property
    def title(self) -> str:
        """What a user did."""
        return (inspect.getdoc(self.trigger) or "").rstrip(".")

    @property
    def code(self) -> str:
        """The body of the trigger: what the page shows, and what is run for it."""
        source = textwrap.dedent(inspect.getsource(self.trigger))
        (function,) = ast.parse(source).body
        assert isinstance(function, ast.FunctionDef)
        first = function.body[1]  # after the docstring
        body = textwrap.dedent("\n".join(source.splitlines()[first.lineno - 1 :]))
        # On a page, classes stand at the margin, where two lines are left after them.
        return re.sub(r"(\n +\S[^\n]*)\n\n(?=\S)", r"\1\n\n\n", body)


@dataclass(frozen=True)
class Command:
    """A command line that is refused.

    Arguments:
        words: what stands after ``rankfold``.
        title: what a user did.
        prepare: writes the files that it reads into the working folder.
    """

    words: tuple[str, ...]
    title: str
    prepare: Callable[[], object] = lambda: None


#: All examples, by class in the order of the page.
EXAMPLES: list[Example] = []
#: All command lines, in the order of the page.
COMMANDS: list[Command] = []


def shows(
    error: type[RankfoldError], *, quotes: bool = False
) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Put a function on the page as an example of an error."""

    def register(trigger: Callable[[], object]) -> Callable[[], object]:
        EXAMPLES.append(Example(error, trigger, quotes))
        return trigger

    return register

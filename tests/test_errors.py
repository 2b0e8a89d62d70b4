import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rankfold
from rankfold import RankfoldError, _errors

ERRORS = [getattr(_errors, name) for name in _errors.__all__]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_ours_public_and_described(error: type[Exception]) -> None:
    assert issubclass(error, RankfoldError)
    assert getattr(rankfold, error.__name__) is error
    assert error.__doc__


@pytest.mark.parametrize("error", ERRORS[:-1])
def test_every_error_is_also_of_a_builtin_kind(error: type[Exception]) -> None:
    if error is not RankfoldError:
        assert issubclass(error, ValueError | RuntimeError)


def test_no_error_catches_another() -> None:
    own = [error for error in ERRORS if error is not RankfoldError]
    assert all(not issubclass(one, other) for one in own for other in own if one is not other)


def written_messages() -> Iterator[tuple[str, str]]:
    """Every message that the source raises one of these errors with, and its place; values stand as {}."""
    names = {error.__name__ for error in ERRORS} | {"Unavailable"}
    root = Path(rankfold.__file__).parent
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            call, text = node.exc, node.exc.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            known = isinstance(call.func, ast.Name) and call.func.id in names
            if known and all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts):
                message = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
                yield f"{file.relative_to(root)}:{node.lineno}", message


MESSAGES = list(written_messages())


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 300


@pytest.mark.parametrize("message", [m for _, m in MESSAGES], ids=[place for place, _ in MESSAGES])
def test_every_message_is_one_sentence_that_ends_with_what_to_do(message: str) -> None:
    if message.endswith(": {}"):  # a sentence of another error, with a place in front of it
        return
    assert message.endswith(".")
    assert "; " in message, "after what came and what is allowed it says what to do"
    assert not re.search(r"[.!?] [A-Z]", message), "one sentence"
    assert "\n" not in message

"""docs/errors.md is the page that its generator makes, and no error class is without an example."""

import re
from collections import Counter

import pytest
import torch
from tools.error_examples import COMMANDS, EXAMPLES, Command, Example
from tools.errors_page import PAGE, errors_page, message, public_errors, refusal

import rankfold as rf
from rankfold import RankError, RankfoldError
from rankfold.decompose import METHODS
from rankfold.training import INTEGRATORS

TEXT = PAGE.read_text(encoding="utf-8")


def subclasses(error: type[Exception]) -> set[type[Exception]]:
    return {error} | {each for child in error.__subclasses__() for each in subclasses(child)}


def test_the_page_is_the_one_that_is_made() -> None:
    assert errors_page() == TEXT, "run python -m tools.errors_page"


def test_every_error_class_has_an_example() -> None:
    shown = Counter(example.error for example in EXAMPLES)
    assert set(shown) == set(public_errors())
    library = {error for error in subclasses(RankfoldError) if error.__module__.startswith("rankfold.")}
    assert set(public_errors()) == library - {RankfoldError}


def test_common_classes_have_several() -> None:
    shown = Counter(example.error.__name__ for example in EXAMPLES)
    for name in ("CheckpointError", "DataError", "ExportError", "NonFiniteError", "OptionError", "RankError"):
        assert shown[name] >= 3, name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.trigger.__name__)
def test_messages_are_one_sentence_without_places_of_this_machine(example: Example) -> None:
    sentence = message(example)
    if example.error.__name__ not in ("NotRun", "NotPart"):  # words for the cell of a table
        assert sentence.endswith(".")
        assert "; " in sentence or ", " in sentence
    assert not re.search(r"[.!?] [A-Z]", sentence)
    assert "\n" not in sentence
    assert not re.search(r"(?<![\w.])/\w", sentence), "no absolute path"
    assert example.title
    assert example.title[0].isupper()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_commands_print_one_line(command: Command) -> None:
    line = refusal(command)
    assert line.startswith("rankfold: ")
    assert line.endswith(".")
    assert "\n" not in line


def test_titles_differ() -> None:
    headings = re.findall(r"^#+ .*$", TEXT, re.MULTILINE)
    assert len({heading for heading in headings if heading.startswith("## ")}) == len(public_errors()) + 1
    assert len(set(headings)) == len(headings)


def test_unknown_names_list_the_known_ones() -> None:
    for registry in (INTEGRATORS, METHODS):
        assert any(all(name in message(example) for name in registry) for example in EXAMPLES)


def raises_nothing() -> None:
    """Doing what is allowed."""
    rf.cp(torch.ones(2, 2), 1)


def raises_another() -> None:
    """Asking for too much."""
    rf.cp(torch.ones(2, 2), 9)


def test_an_example_that_raises_nothing_or_another_error_is_found() -> None:
    with pytest.raises(AssertionError, match="nothing was raised"):
        message(Example(RankError, raises_nothing))
    with pytest.raises(AssertionError, match="raised RankError"):
        message(Example(rf.ShapeError, raises_another))

"""docs/combinations.md is the page that its generator makes of what the contract suites accept."""

import re

from tools.combinations_page import PAGE, combinations_page

from rankfold.init import INITIALIZERS
from rankfold.regularize import REGULARIZERS
from rankfold.testing import FORMS, OPTIMIZERS

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_is_the_one_that_is_made() -> None:
    assert combinations_page() == TEXT, "run python -m tools.combinations_page"


def test_every_reason_is_used_and_told() -> None:
    numbers = {int(number) for number in re.findall(r"\| (\d+) (?=\|)", TEXT)}
    told = {int(number) for number in re.findall(r"^(\d+)\. ", TEXT, re.MULTILINE)}
    assert numbers == told != set()
    cells = re.findall(r"\| (yes|\d+) (?=\|)", TEXT)
    assert len(cells) == len(FORMS) * len(REGULARIZERS) * len(OPTIMIZERS)
    for name in (*REGULARIZERS, *INITIALIZERS):
        assert f"| `{name}` |" in TEXT

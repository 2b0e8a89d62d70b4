"""What the page advises after a run that did not work does help: minutes, so not part of every run of the tests."""

import re

import pytest

from rankfold.cli._report_training import read_training
from rankfold.report.page import trouble_of


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--rank", "1"],
        ["--epochs", "6"],
        ["--max-rank", "1"],
        ["--tolerance", "0.9"],
        ["--weight-decay", "1"],
        ["--momentum", "0.99"],
        ["--learning-rate", "0.25"],
        ["--learning-rate", "1e-4"],
    ],
    ids=" ".join,
)
def test_every_remedy_helps(train, tmp_path, words):
    train(*words, folder="run")
    trouble = trouble_of(read_training(tmp_path / "run", "run"))
    assert trouble is not None
    assert trouble.remedies
    for number, remedy in enumerate(trouble.remedies):
        found = re.match(r"Start again with (--\S+ \S+) instead", remedy)
        again = [*words, *found[1].split()] if found else []  # else it says to leave the words out
        assert found or remedy.startswith(f"Start again without {' '.join(words)}")
        assert train(*again, folder=f"again-{number}") == 0
        record = read_training(tmp_path / f"again-{number}", "again")
        assert record.last["test_accuracy"] > 0.9

"""The live display of work in stages."""

import io

from rich.console import Console

from rankfold.report import StagesDisplay


def shown(terminal):
    file = io.StringIO()
    with StagesDisplay(Console(file=file, force_terminal=terminal, width=100)) as display:
        display.show("first", 1, 4)
        display._progress.refresh()
        display.show("second")
        display._progress.refresh()
    return file.getvalue()


def test_a_terminal_shows_each_stage_in_its_turn():
    text = shown(True)
    assert text.index("first") < text.index("second")
    assert "25%" in text


def test_a_file_gets_nothing():
    assert shown(False).strip() == ""

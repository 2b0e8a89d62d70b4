"""Tables and views as text."""

import io

import pytest
from rich.console import Console

from rankfold.report import (
    TrainingDisplay,
    TrainingStatus,
    facts_table,
    layer_rows,
    layers_table,
    ranks_table,
    tensors_table,
    training_view,
)

LAYOUTS = {
    "stem[0]": {"kind": "Conv2d", "modes": [0, 1], "ranks": [4, 3, 3, 3], "shape": [16, 8, 3, 3]},
    "head": {"kind": "Linear", "modes": [0, 1], "ranks": [9, 9], "shape": [10, 10]},
}
STATUS = TrainingStatus(
    epochs=4, batches_per_epoch=10, epoch=1, batch=5, train_loss=0.5, parameters=12345, ranks={"head": (9, 9)}
)


def rendered(renderable, *, terminal=False, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=100, force_terminal=terminal).print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_layers():
    found = cells(rendered(layers_table(layer_rows(LAYOUTS))))
    assert ["stem[0]", "Conv2d", "16x8x3x3", "4x3x3x3", "1,152", "196", "83.0%"] in found
    assert ["head", "Linear", "10x10", "9x9", "100", "261", "-161.0%"] in found
    assert ["all", "1,252", "457", "63.5%"] in found


def test_facts_ranks_and_tensors():
    assert ["path", "[bold]a"] in cells(rendered(facts_table("Facts", {"path": "[bold]a"})))
    assert ["head", "5x5", "9x9", "3"] in cells(rendered(ranks_table({"head": ((5, 5), (9, 9), 3)})))
    assert ["scale", "1", "F32"] in cells(rendered(tensors_table({"scale": ((), "F32")})))


@pytest.mark.parametrize("renderable", [layers_table(layer_rows(LAYOUTS)), training_view(STATUS)])
def test_a_terminal_without_unicode(renderable):
    assert "9x9" in rendered(renderable, encoding="ascii")


def test_the_view_of_a_training():
    text = rendered(training_view(STATUS))
    assert "epoch 2/4" in text
    assert "38%" in text
    assert "loss 0.5000" in text
    assert "test accuracy -" in text
    assert "12,345" in text
    assert ["head", "9x9"] in cells(text)


def test_the_view_of_a_complete_training():
    assert "epoch 4/4" in rendered(training_view(TrainingStatus(epochs=4, batches_per_epoch=1, epoch=4)))


@pytest.mark.parametrize("terminal", [False, True])
def test_the_display_writes_to_terminals_only(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with TrainingDisplay(console, STATUS) as display:
        display.update(batch=6, train_loss=0.25)
    assert display.status.train_loss == 0.25
    assert ("loss 0.2500" in stream.getvalue()) == terminal

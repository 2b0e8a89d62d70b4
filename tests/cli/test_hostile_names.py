"""Names of files, layers, tensors and words are text on the terminal, whatever is in them."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import rankfold
from rankfold._display import one_line
from rankfold.cli import main
from rankfold.cli._console import make_console

HOSTILE = {
    "html": "<script>document.title='owned'<",
    "rich": "[bold]x[ bold] [link=x]y[link] :smile:",
    "terminal": "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b31m",
    "lines": "a\nrankfold: b\tc\rd",
    "right to left": "conv\u202e1gnihton\u2066",
    "nothing": "x\u00ad\u200b\u3164\U000e0041y",
    "other letters": "模型·层·🙂 שלום",
    "long": "layer" * 30,
}
# What a terminal obeys, what reorders, and what cannot be seen.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\U000e0000-\U000e007f]"
)


@pytest.fixture(params=HOSTILE)
def name(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return HOSTILE[request.param]


@pytest.fixture
def said(capsys):
    """The words of a command, all of which can be seen; spaces and ends of lines apart."""

    def run(*words, code=0):
        assert main(list(words)) == code
        captured = capsys.readouterr()
        text = captured.out + captured.err
        assert not UNSEEN.search(text)
        assert code == 0 or len(captured.err.splitlines()) == 1
        return "".join(text.split())

    return run


def shown(name):
    """The letters of a name that stand together; a long one is folded between other cells."""
    return "".join(one_line(name).split())[:60]


def test_tensors_of_a_file(name, said):
    save_file({name: torch.randn(6, 5), "other": torch.randn(3)}, "file.safetensors")
    assert shown(name) in said("inspect", "file.safetensors")
    assert "other" in said("decompose", "file.safetensors", "--key", name + "?", code=2)


def test_layers(name, said):
    model = nn.Sequential()
    model.add_module(name.replace(".", "_"), nn.Linear(12, 10))  # torch takes all but dots
    rankfold.factorize(model, 2)
    rankfold.save(model, "file.safetensors")
    text = said("inspect", "file.safetensors")
    assert shown(name.replace(".", "_")) in text
    assert "2x2" in text


def test_files(name, said):
    file = f"{name}.npy"
    np.save(file, np.ones((4, 3)))
    text = said("decompose", file, "--rank", "1", "--out", f"out-{name}")
    assert text.startswith(shown(file))
    assert ".npy,4x3,float64" in text
    assert f"results:out-{shown(name)}" in text
    assert shown(name) in said("report", f"out-{name}")
    page = Path(f"out-{name}", "report.html").read_text(encoding="utf-8")
    assert not UNSEEN.search(page)
    assert shown(name) in said("inspect", file, code=2)


@pytest.mark.parametrize("command", ["inspect", "report", "decompose"])
def test_files_that_are_not_there(command, name, said):
    assert shown(name) in said(command, name, code=2)


def test_words_that_are_no_options(name, capsys):
    for words in ([name], ["inspect", f"--{name}", "x"], ["inspect", "x", name]):
        with pytest.raises(SystemExit):
            main(words)
        assert not UNSEEN.search(capsys.readouterr().err)


def test_the_record_of_a_compression(name, said):
    layer = {"name": name, "kind": name, "shape": [4, 4], "modes": [], "ranks": [], "error": 0.0}
    layer |= {
        "parameters_before": 16,
        "parameters_after": 16,
        "weighted_error": None,
        "reason": f"like {name}",
    }
    path, model = f"{name}.safetensors", nn.Sequential(nn.Linear(16, 16))
    save_file(model.state_dict(), path)
    Path("net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(16, 16))\n"
    )
    sys.path.insert(0, ".")
    try:
        assert (
            main(["compress", path, "--model", "net:net", "--input-shape", "16", "--output", "c.safetensors"])
            == 0
        )
    finally:
        sys.path.remove(".")
        sys.modules.pop("net", None)
    (file,) = Path().glob("c.*json")
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"layers": [layer]}))
    text = said("inspect", str(file))
    assert f"like{shown(name)}" in text


def test_a_file_whose_name_is_no_text(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    file = "bad\udcffname.npy"  # as Python names a file whose bytes are not UTF-8
    np.save(file, np.ones((4, 3)))
    assert "bad[U+DCFF]name.npy,4x3" in said("decompose", file, "--rank", "1")


def test_a_stream_that_cannot_hold_the_letters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    make_console().print("模型.npy")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u6a21\\u578b.npy\n"


def test_colours_of_our_own_pass(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    make_console().print("\x1b[31mname", style="bold")
    assert stream.getvalue() == "\x1b[1m[U+001B][31mname\x1b[0m\n"

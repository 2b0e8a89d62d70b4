"""``rankfold report`` on records of compressions, sound and damaged, of this version and the one before."""

import copy
import json
import shlex
from pathlib import Path

import pytest
import torch
from tests.report.page.pages import HOSTILE, parsed

import rankfold as rf
from rankfold._errors import CheckpointError
from rankfold.cli import _compress, _report, main
from rankfold.cli._report_compression import read_compression_record
from rankfold.models import build_model

NEW = ("flops_before", "flops_after", "seconds_before", "seconds_after", "spectra")
FILE = "net-compressed.compression.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A compression of a network for the digits, with all its files."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(0)
        rf.save(build_model("mlp"), "net.safetensors")
        words = [
            "--model",
            "mlp",
            "--policy",
            "budget params=0.1",
            "--threads",
            "1",
            "--latency-batch",
            "2",
        ]
        words += ["--calibrate", "digits", "--calibration-samples", "20", "--device", "cpu"]
        assert main(["compress", "net.safetensors", *words]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """The record and its page, to be damaged."""
    for name in (FILE, "net-compressed.compression.html"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder):
    return json.loads((folder / FILE).read_text())


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    return err


def test_compress_leaves_a_page_and_report_makes_the_same(folder, capsys):
    page = folder / "net-compressed.compression.html"
    before = page.read_bytes()
    record = content(folder)
    assert main(["report", FILE]) == 0
    assert capsys.readouterr().out == f"page: {page.name}\n"
    assert page.read_bytes() == before
    tree = parsed(page.read_text(encoding="utf-8"))
    facts = {node.text: node.parent.one("dd").text for node in tree.all("dt")}
    assert facts["accuracy"].startswith(f"{record['after']['accuracy']:.2%}")
    assert f"{record['before']['accuracy']:.2%}" in facts["accuracy"]
    assert facts["parameters"].startswith(f"{record['after']['parameters']:,}")
    assert f"{record['before']['bytes']:,}" in facts["bytes of the file"]
    titles = [figure.one("strong").text for figure in tree.all("figure")]
    assert {"layers.0", "layers.1", "layers.2", "Time of each layer", "Truncation error"} <= set(titles)
    shown = [" ".join(node.text.replace("\\\n", " ").split()) for node in tree.all("code")]
    assert record["command"] in shown
    assert "rankfold export net-compressed.safetensors --model mlp --format onnx" in shown


def test_what_the_page_says_to_type_works(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    tree = parsed((made / "net-compressed.compression.html").read_text(encoding="utf-8"))
    codes = [node.text for node in tree.all("code")]
    (python,) = [code for code in codes if code.startswith("import rankfold")]
    names = {}
    exec(python, names)
    folded = sum(parameter.numel() for parameter in names["model"].parameters())
    assert folded == content(made)["after"]["parameters"]
    commands = [
        shlex.split(code.replace("\\\n", " "))[1:] for code in codes if code.startswith("rankfold compress")
    ]
    # Whether a network of faster ranks is advised, and can be had, is for the times to say; the last is the command
    # itself.
    others = [words for words in commands[:-1] if "faster=1" not in " ".join(words)]
    assert others
    for words in others:
        assert main(words) == 0, words
    written = {path.name for path in made.glob("net-compressed-*.compression.json")}
    assert len(written) == len(others)
    assert main(["report", FILE, *sorted(written), "--out", "all.html"]) == 0
    assert "Compressions side by side" in (made / "all.html").read_text(encoding="utf-8")


def test_a_record_of_the_version_before(folder, capsys):
    record = content(folder)
    for layer in record["layers"]:
        for key in NEW:
            del layer[key]
    del record["inputs"], record["export_failure"], record["seconds"]["measuring layers"]
    (folder / FILE).write_text(json.dumps(record))
    assert main(["report", FILE]) == 0
    text = (folder / "net-compressed.compression.html").read_text(encoding="utf-8")
    assert "the record is of an older version; compress again" in text


def places_in(node, path=()):
    if isinstance(node, dict):
        for key in node:
            yield (*path, key)
            yield from places_in(node[key], (*path, key))
    elif isinstance(node, list) and node:
        yield from places_in(node[0], (*path, 0))
        if not isinstance(node[0], dict | list):
            yield (*path, 0)


TEXT = "\x00<b>"
USED = {"weights", "model", "policy", "calibrate", "finetune_epochs", "output", "export", "latency_batch"}
TEXTS = USED | {"command", "name", "kind", "place", "reason", "export_failure"}
LACKED = {*NEW, "inputs", "export_failure", "allocator_tuned"}


def may_be_anything(place, other, was):
    """What is only shown, what older records lack, and texts that are still texts."""
    part, last = place[0], place[-1]
    only_shown = len(place) > 1 and (part == "versions" or (part == "settings" and last not in USED))
    if other == "missing":
        return only_shown or last in LACKED or (part in ("inputs", "seconds") and len(place) > 1)
    if place in (("versions",), ("inputs",)):
        return type(other) is type(was)
    still_a_text = other is TEXT and isinstance(was, str | None) and (last in TEXTS or part == "inputs")
    return only_shown or still_a_text or part == "allocator_tuned"


def test_every_field_that_is_missing_or_of_another_type_is_one_sentence(folder):
    record = content(folder)
    refused = 0
    for place in places_in(record):
        for other in ("missing", TEXT, [TEXT], {"a": TEXT}):
            damaged = copy.deepcopy(record)
            node = damaged
            for key in place[:-1]:
                node = node[key]
            was = node.pop(place[-1])
            if other != "missing" and isinstance(node, list):
                node.insert(place[-1], other)
            elif other != "missing":
                node[place[-1]] = other
            (folder / FILE).write_text(json.dumps(damaged))
            sentence = None
            try:
                read_compression_record(folder / FILE, FILE)
            except CheckpointError as error:
                sentence = str(error)
            if sentence is None:
                assert may_be_anything(place, other, was), (place, other)
            else:
                assert FILE in sentence
                assert "\n" not in sentence
                refused += 1
    assert refused > 150


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_layers(folder, name):
    record = content(folder)
    for layer in record["layers"]:
        layer["name"] = name
    (folder / FILE).write_text(json.dumps(record))
    assert main(["report", FILE]) == 0
    tree = parsed((folder / "net-compressed.compression.html").read_text(encoding="utf-8"))
    assert len(list(tree.all("script"))) == 1
    assert not list(tree.all("img"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "this is no record of a compression"),
        ('{"kind": "rankfold compression"}', "the record is damaged (KeyError: 'settings')"),
    ],
)
def test_files_that_are_no_records(folder, text, message, capsys):
    page = (folder / "net-compressed.compression.html").read_bytes()
    (folder / FILE).write_text(text)
    assert main(["report", FILE]) == 2
    assert message in failure(capsys)
    assert (folder / "net-compressed.compression.html").read_bytes() == page


def test_what_is_known_is_listed(folder, capsys):
    (folder / "net.safetensors").write_bytes(b"")
    assert main(["report", "net.safetensors"]) == 2
    assert "files NAME.compression.json of rankfold compress" in failure(capsys)


def test_a_page_that_exists_is_kept_unless_asked(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.safetensors").write_bytes((made / "net.safetensors").read_bytes())
    page = Path("net-compressed.compression.html")
    page.write_text("mine")
    words = [
        "compress",
        "net.safetensors",
        "--model",
        "mlp",
        "--policy",
        "fixed=3",
        "--latency-batch",
        "2",
    ]
    assert main(words) == 2
    assert f"{page} exists; name another --output, or give --overwrite" in failure(capsys)
    assert page.read_text() == "mine"
    assert not Path(FILE).exists()
    assert main([*words, "--overwrite"]) == 0
    assert f"\npage: {page}\n" in capsys.readouterr().out
    assert "mlp with" in page.read_text(encoding="utf-8")


def test_a_page_that_fails_is_no_failure_and_leaves_no_other(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.safetensors").write_bytes((made / "net.safetensors").read_bytes())
    page = Path("net-compressed.compression.html")
    page.write_text("of another record")
    monkeypatch.setattr(_report, "write_page", lambda page, path: "no page: reasons.")
    words = [
        "compress",
        "net.safetensors",
        "--model",
        "mlp",
        "--policy",
        "fixed=3",
        "--latency-batch",
        "2",
    ]
    assert main([*words, "--overwrite"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("no page: reasons.\n")
    assert "page: net-compressed" not in out
    assert not page.exists()
    assert Path(FILE).exists()
    assert _compress.leave_page is _report.leave_page

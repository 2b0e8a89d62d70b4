"""What the page of a compression says to do next."""

import pytest
import torch
from tests.report.page.compressions import blocks, compression_record, page_of
from tests.report.page.pages import parsed

import rankfold
from rankfold.models import build_model
from rankfold.report.page import Code, Text, compression_page, render_page
from rankfold.report.page._compression_advice import with_settings

BASE = "rankfold compress net.safetensors --model resnet20"


def commands(page):
    """What goes before each command of the advice, and the command in one line."""
    found = blocks(page, Text | Code, "What to do next?")
    return {
        before.text: " ".join(code.text.replace("\\\n", " ").split())
        for before, code in zip(found[::2], found[1::2], strict=True)
    }


def one(found, words):
    (command,) = [command for why, command in found.items() if words in why]
    return command


def test_what_to_do_after_a_loss():
    found = commands(page_of(compression_record(accuracy=(0.95, 0.90))))
    assert one(found, "5.00 points lower, and nothing was trained") == (
        f"{BASE} --policy 'budget params=0.5' --calibrate cifar10 --output small-tuned.safetensors --finetune-epochs 3"
    )
    assert one(found, "5.00 points lower at budget params=0.5: keep more") == (
        f"{BASE} --calibrate cifar10 --output small-larger.safetensors --policy 'budget params=0.75'"
    )
    assert not [why for why in found if "room for less" in why]
    tuned = compression_record(accuracy=(0.95, 0.90), settings={"finetune_epochs": 2})
    assert "--finetune-epochs 4" in one(commands(page_of(tuned)), "after 2 epochs of fine-tuning")


def test_what_to_do_where_nothing_was_lost():
    found = commands(page_of(compression_record(accuracy=(0.95, 0.949))))
    assert "--policy 'budget params=0.35'" in one(found, "0.10 points lower with 50.0% of the parameters")
    assert not [why for why in found if "keep more" in why]
    for accuracy, words in (((0.9, 0.9), "is the same with"), ((0.9, 0.95), "is 5.00 points higher with")):
        assert one(commands(page_of(compression_record(accuracy=accuracy))), f"The accuracy {words}")


def test_what_to_do_where_it_is_not_faster():
    slow = compression_record(seconds=(0.010, 0.0099))
    assert "--policy 'budget params=0.5 faster=1'" in one(
        commands(page_of(slow)), "takes 9.9 ms, the dense one 10 ms"
    )
    for policy in ("budget params=0.5 faster=1", "latency speedup=1.2"):
        settled = compression_record(seconds=(0.010, 0.0099), settings={"policy": policy})
        assert not [why for why in commands(page_of(settled)) if "the dense one" in why]
    assert not [why for why in commands(page_of(compression_record())) if "the dense one" in why]


def test_what_to_do_without_calibration():
    found = commands(
        page_of(compression_record(samples=0, accuracy=(None, None), settings={"calibrate": None}))
    )
    assert one(found, "from the weights alone").endswith("--calibrate inputs.npy")
    tested = one(commands(page_of(compression_record(samples=0))), "from the weights alone")
    assert tested.endswith(
        "--calibrate cifar10 --output small-calibrated.safetensors --calibration-samples 500"
    )


def test_what_to_do_where_the_accuracy_was_not_measured():
    unmeasured = {"accuracy": (None, None), "test_samples": 0}
    found = commands(page_of(compression_record(output_change=0.0444, **unmeasured)))
    lines = one(found, "Measure the accuracy of a classifier")
    assert "for file in ('net.safetensors', 'small.safetensors'):" in lines
    assert "model(inputs).argmax(1) == labels" in lines
    assert not [why for why in found if "allow more" in why or "fine-tune the factors in Python" in why]
    found = commands(page_of(compression_record(output_change=0.59, **unmeasured)))
    assert "--policy 'budget params=0.75'" in one(
        found, "The outputs changed by 59.00% at budget params=0.5: allow more"
    )
    assert "rankfold.FineTuning(batches=batches, epochs=3)" in one(found, "fine-tune the factors in Python")
    assert not [why for why in commands(page_of(compression_record(output_change=0.59))) if "Measure" in why]


def test_the_python_for_data_of_your_own_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    dense = build_model("mlp", input_shape=(1, 4, 4))
    rankfold.save(dense, "net.safetensors")
    rankfold.compress(dense, 0.5, fold=False)
    rankfold.save(dense, "small.safetensors")
    record = compression_record(
        accuracy=(None, None), output_change=0.59, inputs=("1x4x4",), settings={"model": "mlp"}
    )
    inputs, labels = torch.randn(8, 1, 4, 4), torch.arange(8)
    for lines in [block.text for block in blocks(page_of(record), Code) if "import rankfold" in block.text]:
        names = {"inputs": inputs, "labels": labels, "batches": [(inputs, labels)]}
        exec(compile(lines, "page", "exec"), names)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [file for file, _ in printed] == ["net.safetensors", "small.safetensors"]
    assert all(0 <= float(right) <= 1 for _, right in printed)
    assert (tmp_path / "small-tuned.safetensors").exists()


@pytest.mark.parametrize(
    ("model", "inputs", "built", "exported"),
    [
        ("resnet20", ("3x32x32",), "model = build_model('resnet20')", "--model resnet20 --format onnx"),
        ("mlp", ("1x8x8",), "model = build_model('mlp', input_shape=(1, 8, 8))", "--model mlp --format onnx"),
        ("lenet5", (), "model = build_model('lenet5')", "--model lenet5 --format onnx"),
        (
            "pkg.nets:Nets.small",
            ("16", "int64:4"),
            "import pkg.nets\n\nmodel = pkg.nets.Nets.small()",
            "--model pkg.nets:Nets.small --format onnx --input-shape 16 int64:4",
        ),
    ],
)
def test_how_to_go_on_in_python_and_without_it(model, inputs, built, exported):
    page = page_of(compression_record(inputs=inputs, settings={"model": model}))
    (python,) = [block.text for block in blocks(page, Code) if "rankfold.load" in block.text]
    assert built in python
    assert python.endswith("rankfold.load(model, 'small.safetensors')\nmodel = rankfold.fold(model).eval()")
    assert one(commands(page), "without this library") == f"rankfold export small.safetensors {exported}"


def test_the_python_that_is_shown_is_python():
    for name in ("resnet20", "a:b", "x'; import os", "a:b;c", "\n"):
        page = page_of(compression_record(settings={"model": name}))
        (python,) = [block.text for block in blocks(page, Code) if "rankfold.load" in block.text]
        compile(python, name, "exec")


def test_an_export_that_failed_is_tried_in_the_other_format():
    failed = compression_record(settings={"export": "onnx"})
    assert one(commands(page_of(failed)), "as torch where onnx failed").endswith("--format torch")
    done = compression_record(settings={"export": "onnx"}, export={"format": "onnx", "size_bytes": 7})
    assert not [why for why in commands(page_of(done)) if "without this library" in why]


def test_paths_are_typed_as_they_are():
    page = compression_page([compression_record()], ["'my runs/small.compression.json'"])
    text = parsed(render_page(page)).text
    assert "rankfold report 'my runs/small.compression.json' other.compression.json" in text
    assert "rankfold.load(model, 'my runs/small.safetensors')" in text
    assert "rankfold export 'my runs/small.safetensors'" in text


def test_flags_are_given_anew():
    command = "rankfold compress 'a b' --policy budget params=0.5 --input-shape 3 4 --overwrite --output x"
    assert with_settings(command, policy="energy=0.9", output="y") == (
        "rankfold compress 'a b' --input-shape 3 4 --policy energy=0.9 --output y"
    )

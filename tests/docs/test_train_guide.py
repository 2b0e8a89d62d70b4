"""What the guide to training shows is true: its loops run, and its figures are those of the results."""

import json

import pytest
from tests.docs.pages import ROOT, Shown, text_of
from torch import nn

PAGE = "docs/train.md"
TEXT = " ".join(text_of(PAGE).split())


def result(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_run_is_the_folder_described(shown: Shown) -> None:
    for name in (
        "config.json",
        "metrics.jsonl",
        "ranks.jsonl",
        "model.safetensors",
        "checkpoint.safetensors",
    ):
        assert f"`{name}`" in TEXT
        assert (shown.folder / "short" / name).is_file()
    lines = [json.loads(line) for line in (shown.folder / "short" / "ranks.jsonl").read_text().splitlines()]
    assert {line["layer"] for line in lines} == {"conv1", "conv2", "linear1", "linear2"}
    assert (shown.folder / "compared.html").is_file()
    page = (shown.folder / "short" / "report.html").read_text(encoding="utf-8")
    headings = [
        page.index(f"{words}?</h2>") for words in ("Did it work", "What did it cost", "Where is the rank")
    ]
    assert headings == sorted(headings)
    assert "**did it work**" in TEXT
    assert "**what did it cost**" in TEXT


def test_the_loop_gives_a_small_network(shown: Shown) -> None:
    assert "`plain` has a fifth of the parameters of the network and names nine of ten digits" in TEXT
    assert size(shown["plain"]) / size(shown["network"]()) == pytest.approx(0.2, abs=0.05)
    assert shown["accuracy"](shown["plain"]) == pytest.approx(0.9, abs=0.05)
    assert shown["found"].keys() == {"0", "2", "6", "8"}
    assert max(shown["found"]["6"]) < 64  # half of 128, where it began
    assert all(type(module).__module__.startswith("torch.") for module in shown["plain"].modules())


def test_the_figures_of_mnist_are_those_of_the_result() -> None:
    best = max(result("mnist_lenet")["settings"], key=lambda setting: setting["mean_accuracy"])
    stated = f"reaches {best['mean_accuracy']:.2f} % with {best['mean_compression']:.1f} % fewer parameters"
    assert stated in TEXT


def test_the_table_of_options_is_that_of_the_result() -> None:
    lines = [line for line in text_of(PAGE).splitlines() if line.startswith("|") and line.endswith("% |")]
    expected = []
    for row in result("train_options")["rows"]:
        shown = f"`{row['options']}`" if row["options"] else "its defaults"
        if row["failed"]:
            assert f"| {shown} | stops | - |" in text_of(PAGE)
        else:
            expected.append(f"| {shown} | {row['mean_compression']:.1f} % | {row['mean_accuracy']:.2f} % |")
    assert lines == expected

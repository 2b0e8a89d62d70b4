"""What the page of measurements shows is what the committed results hold."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "network"),
    sorted(set(re.findall(r"python -m benchmarks\.(\w+)(?: --network (\w+))?", PAGE))),
)
def test_every_benchmark_named_exists_and_left_its_result(command, network):
    assert (ROOT / "benchmarks" / f"{command}.py").exists()
    name = f"compress_{network}" if network else command
    record = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert record["command"].startswith(f"python -m benchmarks.{command}")


def test_the_figures_of_the_table_are_those_of_the_results():
    def result(name):
        return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())

    for setting in result("mnist_lenet")["settings"]:
        assert f"{setting['mean_compression']:.1f} % | {setting['mean_accuracy']:.2f} %" in PAGE
    for row in result("digits_lenet")["summary"].values():
        assert f"{row['mean_accuracy']:.2f} %" in PAGE
    for row in result("mnist_decay")["rows"]:
        if row["decay"] == 10 and row["method"] != "fixed":
            assert f"{row['mean_accuracies'][3]:.1f} %" in PAGE


def test_the_table_of_steps_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "step.json").read_text())
    rows = {(row["network"], row["side"]): row["x_dense"] for row in record["rows"]}
    sides = {
        "TDLRT, exact adaptive step": "TDLRT",
        'TDLRT, `integrator="parallel"`': "TDLRT single gradient",
        "TDLRT, `basis_every=10`": "TDLRT every 10th step",
        "our layers at fixed ranks, plain SGD": "fixed rank",
        "TensorLy-Torch at fixed ranks": "TensorLy-Torch fixed rank",
        "the published adaptive step, our writing of it": "published step",
    }
    for label, side in sides.items():
        found = [rows.get((f"VGG f={share}", side)) for share in ("1/8", "1/4", "1/2")]
        cells = ["-" if value is None else f"{value:.2f}" for value in found]
        assert f"| {label} | {' | '.join(cells)} |" in PAGE
    assert f"exact step takes {rows['MLP r=32', 'TDLRT']:.2f} of the dense step" in PAGE


def test_the_table_of_families_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "decompose_success.json").read_text())
    found = {(row["family"], row["side"]): row["success"] for row in record["rows"]}
    sides = ("TensorLy random", "TensorLy svd", "pyttb", "als", "auto")
    families = re.findall(r"^\| (\d+\^\d R\d+[^|]*) \|", PAGE, re.MULTILINE)
    assert len(families) >= 11
    for family in families:
        assert f"| {family} | {' | '.join(found[family, side] for side in sides)} |" in PAGE


def test_the_table_of_compressed_networks_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "compress_resnet20.json").read_text())
    found = {(row["side"], row["percent"]): row for row in record["rows"]}
    sides = {
        "SVD by hand, the same share of each layer": "svd",
        "Tucker by hand, the same share": "tucker",
        "a budget by the energy of the outputs": "whitened",
        "TensorLy-Torch `from_conv`, Tucker": "tensorly-torch tucker",
        "TensorLy-Torch `from_conv`, CP": "tensorly-torch cp",
        "`compress`, no calibration": "rankfold, weights alone",
        "`compress`": "rankfold",
        "`compress`, `faster=True`": "rankfold, faster",
    }
    for label, side in sides.items():
        cells = []
        for percent in (70, 50, 30):
            row = found[side, percent]
            speeds = f"{row['speedup_batch_1']:.2f}, {row['speedup_batch_128']:.2f}"
            cells.append(f"{100 * row['accuracy']:.1f} % ({speeds})")
        assert f"| {label} | {' | '.join(cells)} |" in PAGE


def test_the_table_of_equal_budgets_is_that_of_the_study():
    record = json.loads((ROOT / "docs" / "studies" / "equal-budget" / "study.json").read_text())
    accuracies: dict[str, list[float]] = {}
    for table in record["tables"]:
        for row in table["rows"]:
            accuracies.setdefault(row["method"], []).append(row["accuracy (%)"])
    assert len(accuracies) == 8
    for method, found in accuracies.items():
        assert f"| {method} | {' | '.join(f'{value:.2f}' for value in found)} |" in PAGE

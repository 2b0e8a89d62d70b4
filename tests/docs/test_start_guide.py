"""What the first page promises is what a newcomer sees."""

import json
import re
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, Shown, blocks_of, labels, run_command, text_of

PAGE = "docs/start.md"
TEXT = " ".join(text_of(PAGE).split())
DEMO, SMALLER, LOW_RANK, PARTS = (block.text for block in blocks_of(PAGE) if block.language == "text")


def percent(pattern: str, text: str) -> float:
    (found,) = re.findall(pattern + r" *([\d.]+)%", text)
    return float(found)


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (command,) = (line for block in blocks_of(PAGE) for line in block.lines if "train" in line)
    printed = run_command(f"{command} --epochs 2")
    assert labels(printed)[-len(labels(DEMO)) :] == labels(DEMO)
    assert (tmp_path / "demo" / "report.html").is_file()
    result = json.loads((ROOT / "benchmarks" / "results" / "digits_lenet.json").read_text())
    (seed,) = (run for run in result["runs"]["tucker"] if run["seed"] == 0)
    assert percent("accuracy", DEMO) == pytest.approx(seed["accuracy"], abs=1)
    assert percent("compression", DEMO) == pytest.approx(seed["compression"], abs=1)
    assert "1,437 real handwritten digits" in TEXT  # of 1,797 every fifth is kept for the test


def test_a_model_gets_smaller(shown: Shown) -> None:
    printed = shown.printed["python smaller.py"]
    assert labels(printed) == labels(SMALLER)
    for pattern in ("dense:", "compressed:"):
        assert percent(pattern, printed) == pytest.approx(percent(pattern, SMALLER), abs=3)
    (share,) = re.findall(r"parameters \(([\d.]+)%\)", printed)
    assert float(share) <= 20
    assert (shown.folder / "smaller.onnx").is_file()


def test_low_rank_from_the_start(shown: Shown) -> None:
    printed = shown.printed["python lowrank.py"]
    assert labels(printed) == labels(LOW_RANK)
    assert percent("accuracy", printed) == pytest.approx(percent("accuracy", LOW_RANK), abs=4)
    assert "ranks that have fallen from 32, 128 and 5" in TEXT
    ranks = [[int(rank) for rank in found] for found in re.findall(r"\((\d+), (\d+)\)", printed)]
    assert all(max(found) <= start for found, start in zip(ranks, (32, 128, 5), strict=True))
    assert max(ranks[1]) < 40
    dense, plain = (int(size.replace(",", "")) for size in re.findall(r"\d+,\d+", printed))
    assert dense == 85_002
    assert plain < dense / 5


def test_the_parts_of_a_file(shown: Shown) -> None:
    printed = shown.printed["rankfold decompose mixtures.npy --out parts"]
    assert labels(printed)[: len(labels(PARTS))] == labels(PARTS)
    assert re.search(r"rank +3 \(found\)", printed)
    assert "confirmed: 2 of 2 independent starts" in printed
    for name in ("report.html", "mode_0.csv", "mode_1.csv", "mode_2.csv"):
        assert (shown.folder / "parts" / name).is_file()

"""What the guide to large tensors shows is true: its blocks run, and its tables are those of the benchmark."""

import json

import numpy as np
import pytest
from benchmarks._sharded_plan import Constants, Problem, als_sweep
from benchmarks._sharded_tables import tables
from tests.docs.pages import ROOT, Shown, text_of

import rankfold

PAGE = "docs/decompose_large.md"
RECORD = json.loads((ROOT / "benchmarks" / "results" / "sharded_plan.json").read_text(encoding="utf-8"))


def test_the_answers_are_those_of_the_tensor_in_memory(shown: Shown) -> None:
    cube = np.load(shown.folder / "cube.npy")
    whole = rankfold.cp(cube, generator=0)
    assert "rank 3, relative error 0.050" in text_of(PAGE)
    for parts in (shown["parts"], shown["again"]):
        assert parts.rank == whole.rank == 3
        assert parts.relative_error == pytest.approx(0.05, abs=5e-4)
        missed = parts.tensor.to_dense() - whole.tensor.to_dense()
        assert float(missed.norm() / whole.tensor.to_dense().norm()) < 1e-4
    assert shown["small"].tensor.ranks == rankfold.tucker(cube, tolerance=0.1).tensor.ranks


def test_the_command_reads_in_blocks(shown: Shown) -> None:
    first, second = shown.printed.values()
    assert "cube.npy: needs " in first
    assert "as a whole, 23.8 MiB may be taken." in first
    assert "shards: read in blocks of 64.0 MiB, never as a whole." in second
    for name in ("blocks", "shards_found"):
        found = rankfold.load_decomposition(shown.folder / name / "factors.safetensors")
        assert found.ranks == (3,)


@pytest.mark.parametrize("word", tables(RECORD))
def test_the_tables_are_those_of_the_benchmark(word: str) -> None:
    assert tables(RECORD)[word] in text_of(PAGE), (
        f"{PAGE}: write what benchmarks._sharded_tables gives for {word}"
    )


def test_what_the_page_says_of_the_checks() -> None:
    rows = RECORD["checks"]
    assert [row["workers"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["bytes"] == row["planned bytes"]
        assert 0.5 <= row["seen by planned"] <= 2
        assert row["MiB taken"] <= row["MiB at most"]
    sweep = next(row for row in RECORD["plan"] if row["step"] == "ALS, one sweep")
    problem = Problem((2000, 2500, 2000), 0, 16, 64)
    cost = als_sweep(problem)
    assert sweep["MB to collectives"] == round(cost.volume / 1e6, 2)
    assert cost.volume - 8 * 16 * (2000 + 2500 + 2000) == 2 * 64 * 16  # and who had no fault
    seconds = cost.seconds(problem, Constants(**RECORD["exact"]))
    assert sweep["sum, s"] == round(sum(seconds.values()), 2)

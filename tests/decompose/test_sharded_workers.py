"""Workers that read a slice each come to the same result as one process, and fail together."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.decompose.sharded_cases import LONG, REFUSED, SAME, WORKERS, read, run, write_files

ROOT = Path(__file__).parents[2]
# Seconds beyond which something waits for ever.
PATIENCE = {"short": 300.0, "long": 1500.0}
GROUPS = {"two": 2, "three": 3}
Answers = dict[str, list[dict[str, dict[str, Any]]]]


def started(folder: Path, length: str) -> Answers:
    """What all workers of both groups gave."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.decompose.sharded_cases", str(folder)]
    processes = [
        subprocess.Popen(
            [*command, str(rank), length],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(WORKERS)
    ]
    try:
        outputs = [process.communicate(timeout=PATIENCE[length])[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * WORKERS, "\n".join(outputs)
    return {
        name: [read(folder / f"{name}_{rank}") for rank in range(count)] for name, count in GROUPS.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sharded")
    write_files(place)
    return place


@pytest.fixture(scope="module")
def answers(folder: Path) -> Answers:
    return started(folder, "short")


def settled(trace: np.ndarray) -> np.ndarray:
    """Without steps that changed nothing but rounding: how many of these a refinement takes is left to chance."""
    return trace[np.append(True, np.abs(np.diff(trace)) > 1e-12)]


def compare(answers: Answers, name: str, alone: dict[str, Any]) -> None:
    for group in GROUPS:
        if name not in answers[group][0]:
            continue
        first, *others = (worker[name] for worker in answers[group])
        for other in others:  # bit for bit
            assert all(np.array_equal(first[key], other[key]) for key in first)
        assert np.linalg.norm(first["model"] - alone["model"]) <= 1e-10 * np.linalg.norm(alone["model"])
        assert first["error"] == pytest.approx(alone["error"], rel=1e-10, abs=1e-12)
        assert np.array_equal(first["ranks"], alone["ranks"])
        if "gradient_flow" not in name and "auto" not in name:
            assert first["methods"] == alone["methods"]
        # Squares, because the errors on the way are roots of differences of squared norms; on the way through noise
        # rounding grows a thousandfold before it is forgotten.
        found, expected = (settled(each["trace"]) ** 2 for each in (first, alone))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("name", SAME)
def test_workers_do_what_one_process_does(name: str, answers: Answers, folder: Path) -> None:
    compare(answers, name, run({name: SAME[name]}, folder, None)[name])


@pytest.mark.slow
def test_workers_do_what_one_process_does_at_length(tmp_path: Path) -> None:
    write_files(tmp_path)
    answers = started(tmp_path, "long")
    for name, alone in run(LONG, tmp_path, None).items():
        compare(answers, name, alone)


def said(answers: Answers, name: str) -> tuple[str, str]:
    """The one error that all workers of both groups raise."""
    told = {
        (worker[f"refused {name}"]["kind"], worker[f"refused {name}"]["sentence"])
        for group in GROUPS
        for worker in answers[group]
    }
    assert len(told) == 1, told
    return told.pop()


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("nan", "NonFiniteError", "cp: the entry (5, 1, 2) in HERE/nan.npy is nan"),
        ("nan tucker", "NonFiniteError", "tucker: the entry (5, 1, 2) in HERE/nan.npy is nan"),
        ("missing", "DataError", "HERE/missing_1/part_9.npy: cannot be read (No such file or directory)"),
        ("no file", "DataError", "HERE/none.npy: cannot be read (No such file or directory)"),
        (
            "only GPUs",
            "OptionError",
            "Sharded: the process group sends by cuda:nccl, but files are read on the",
        ),
        ("rank", "OptionError", "cp: the workers were called with different arguments"),
        ("seed", "OptionError", "cp: the generators of the workers are in different states"),
        ("tucker ranks", "OptionError", "tucker: the workers were called with different arguments"),
    ],
)
def test_a_failure_of_one_worker_is_that_of_all(
    name: str, kind: str, sentence: str, answers: Answers
) -> None:
    found, told = said(answers, name)
    assert found == kind
    assert told.startswith(sentence)
    assert told.endswith(".")


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        (
            "another file",
            "OptionError",
            "Sharded: the workers see different files, modes or block_bytes (here",
        ),
        ("another mode", "OptionError", "Sharded: the workers see different files, modes or block_bytes"),
        ("changed", "DataError", "the file was changed or removed while it was read"),
        ("callback", "RankfoldError", "LookupError: no such place"),
    ],
)
def test_what_names_the_worker_or_its_file(name: str, kind: str, sentence: str, answers: Answers) -> None:
    for group in GROUPS:
        for worker in answers[group]:
            assert worker[f"refused {name}"]["kind"] == kind
            assert sentence in worker[f"refused {name}"]["sentence"]


def test_every_refusal_is_looked_at(answers: Answers) -> None:
    seen = {name for name in answers["three"][0] if name.startswith("refused ")}
    assert seen == {f"refused {name}" for name in REFUSED}


def test_without_a_seed_all_draw_what_the_first_draws(answers: Answers) -> None:
    for group in GROUPS:
        first, *others = (worker["unseeded"] for worker in answers[group])
        assert all(np.array_equal(first["model"], other["model"]) for other in others)
        assert not np.allclose(first["model"], first["other"])


def test_one_that_is_told_to_stop_stops_all(answers: Answers) -> None:
    for group in GROUPS:
        assert [len(worker["stopped"]["trace"]) for worker in answers[group]] == [6] * GROUPS[group]

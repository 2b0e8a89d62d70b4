"""``rankfold decompose`` of what does not fit into memory, of folders, and by workers of torchrun."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

from rankfold._decomposition_file import load_decomposition
from rankfold.cli import main
from rankfold.cli._launcher import launched_workers

SHAPE = (120, 100, 60)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((size, 2)) for size in SHAPE]
    x = np.einsum("ir,jr,kr->ijk", *factors) + 0.01 * rng.standard_normal(SHAPE)
    np.save("x.npy", x)
    (tmp_path / "shards").mkdir()
    for index, part in enumerate(np.split(x, 4, 2)):
        np.save(f"shards/{index}.npy", part)
    return tmp_path


def decompose(*words):
    return main(["decompose", *words, "--threads", "1"])


def parts(folder, name):
    return load_decomposition(folder / name / "factors.safetensors").to_dense()


def close(a, b):
    return float((a - b).norm() / b.norm()) < 1e-6


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (("--rank", "2", "--method", "als"), "17MB"),
        (("--format", "tucker", "--ranks", "2,2,2"), "12MB"),
    ],
    ids=str,
)
def test_what_needs_more_than_the_limit_is_read_in_blocks(words, limit, folder, capsys):
    assert decompose("x.npy", *words, "--out", "whole", "--device", "cpu") == 0
    assert "blocks" not in capsys.readouterr().out
    assert decompose("x.npy", *words, "--out", "blocks", "--memory", limit, "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "x.npy: needs " in out
    assert f" as a whole, {int(limit[:-2]) * 10**6 / 2**20:.1f} MiB may be taken.\n" in out
    assert "x.npy: read in blocks of " in out
    assert "never as a whole.\n" in out
    assert close(parts(folder, "blocks"), parts(folder, "whole"))
    assert json.loads((folder / "blocks" / "summary.json").read_text())["settings"]["memory"] == limit


def test_what_is_free_is_a_limit_too(folder, monkeypatch, capsys):
    monkeypatch.setattr("rankfold.cli._decompose_sharded.available_bytes", lambda device: 17_000_000)
    assert decompose("x.npy", "--rank", "2", "--method", "als", "--out", "found") == 0
    assert "16.2 MiB may be taken" in capsys.readouterr().out


def test_a_folder_of_shards(folder, capsys):
    words = ("--rank", "2", "--method", "als")
    assert decompose("shards", "--axis", "2", *words, "--out", "found") == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "shards, 120x100x60, float64\nshards: read in blocks of 64.0 MiB, never as a whole.\n"
    )
    assert decompose("x.npy", *words, "--out", "whole", "--device", "cpu") == 0
    assert close(parts(folder, "found"), parts(folder, "whole"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("x.npy", "--memory", "much"), "--memory is 'much', allowed is a size such as 4GiB or 500MB"),
        (("x.npy", "--memory", "-1"), "--memory is '-1', allowed is a size"),
        (("x.npy", "--memory", "9" * 30), "allowed is a size"),
        (("x.npy", "--memory", "1MB"), " MiB even in blocks, --memory leaves 976.6 KiB"),
        (
            ("x.npy", "--memory", "1MB", "--format", "tt", "--tolerance", "0.1"),
            "as a whole, --memory leaves 976.6 KiB",
        ),
        (("shards", "--axis", "7"), "axis must be a mode in 0..2"),
        (("shards", "--axis", "-1"), "--axis is -1, allowed is at least 0"),
        (("shards", "--axis", "2", "--mask", "nan"), "cp and tucker of .npy files can do without mask"),
        (("shards", "--axis", "2", "--method", "algebraic"), "would be read in blocks"),
        (("shards", "--axis", "2", "--format", "tt", "--tolerance", "0.1"), "would be read in blocks"),
        (("shards", "--axis", "2", "--device", "cuda"), "cuda"),
    ],
    ids=str,
)
def test_what_is_refused(words, sentence, folder, capsys):
    assert decompose(*words, "--out", "found") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sentence in error
    assert not (folder / "found").exists()


def test_a_group_of_one_is_no_group(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = {"TORCHELASTIC_RUN_ID": "test", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for name, value in {**started, "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    with launched_workers() as workers:
        assert dist.is_initialized()
        assert (workers.count, workers.rank) == (1, 0)
    assert not dist.is_initialized()


def test_only_the_first_worker_speaks(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    for rank, said in (("1", ""), ("0", "rankfold: ")):
        monkeypatch.setenv("RANK", rank)
        assert main(["decompose", "x.npy", "--format", "none"]) == 2
        assert capsys.readouterr().err.startswith(said)
        assert bool(said) or capsys.readouterr().err == ""


@pytest.mark.slow
def test_workers_of_torchrun_write_once(folder, capsys):
    program = "import sys; from rankfold.cli import main; sys.exit(main())"
    (folder / "run.py").write_text(program)
    root = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "run.py",
    ]
    words = ["--rank", "2", "--method", "als"]

    def workers(*given):
        return subprocess.run(
            [*launch, "decompose", *given],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )

    done = workers("x.npy", *words, "--out", "found")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results: found") == 1
    assert "by 2 workers, never as a whole." in done.stdout
    assert decompose("x.npy", *words, "--out", "whole", "--device", "cpu") == 0
    capsys.readouterr()
    assert close(parts(folder, "found"), parts(folder, "whole"))
    failed = workers("missing.npy", "--out", "other")
    assert failed.returncode != 0
    assert failed.stderr.count("rankfold: missing.npy: cannot be read") == 1
    broken = np.load("x.npy")
    broken[119, 2, 1] = np.nan
    np.save("nan.npy", broken)
    failed = workers("nan.npy", "--out", "other")
    assert failed.stderr.count("rankfold: cp: the entry (119, 2, 1) in nan.npy is nan") == 1
    assert not list(folder.glob("*other*"))
    assert not list(folder.glob(".*.part"))

"""The guide to several workers: its scripts run with two, its tables are those of the results."""

import socket
import subprocess
import sys
from functools import partial

import pytest
import torch
from benchmarks.distributed_page import with_tables
from tests.docs.pages import blocks_of, text_of
from tests.training.distributed.events import script
from tests.training.distributed.group import run_workers

import rankfold as rf

PAGE = "docs/distributed.md"
SCRIPTS = {block.title: block.text for block in blocks_of(PAGE) if block.title}


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide")
    cases = {}
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text, encoding="utf-8")
        cases[name] = partial(script, file=folder / name, port=free_port())
    (folder / "work").mkdir()
    return folder, run_workers(2, cases, folder / "work")


def test_all_scripts_are_known():
    assert set(SCRIPTS) == {"train.py", "wrapped.py", "sharded.py"}


@pytest.mark.parametrize("name", ["train.py", "wrapped.py"])
def test_workers_leave_the_same_model(run, name):
    first, second = run[1][name]
    assert not isinstance(first, str), first
    assert first["model"].keys() == second["model"].keys()
    for parameter, value in first["model"].items():
        assert torch.equal(second["model"][parameter], value)


def test_the_plain_loop_leaves_a_file(run):
    folder, results = run
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    rf.load(model, folder / "net.safetensors")
    for name, value in results["train.py"][0]["model"].items():
        assert torch.equal(model.state_dict()[name], value)


def test_the_sharded_model_is_loaded_at_its_ranks(run):
    folder, results = run
    assert (folder / "checkpoint" / ".metadata").is_file()
    for result in results["sharded.py"]:
        assert not isinstance(result, str), result
        assert result["model"]["0.core"].shape == result["again"]["0.core"].shape


def test_the_recipe_for_uneven_batches_is_the_mean_over_all(run_once):
    recipe = run_once(PAGE)["mean_over_all"]
    with pytest.MonkeyPatch.context() as patch:  # another worker has two samples
        patch.setattr("torch.distributed.all_reduce", lambda count: count.add_(2))
        patch.setattr("torch.distributed.get_world_size", lambda: 2)
        outputs, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
        loss = torch.nn.functional.cross_entropy(outputs, labels, reduction="sum") * 2 / 6
        torch.testing.assert_close(recipe(outputs, labels), loss)


def test_the_tables_are_those_of_the_results():
    assert with_tables(text_of(PAGE)) == text_of(PAGE)


@pytest.mark.slow
def test_torchrun_starts_the_script(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPTS["train.py"], encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "train.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.safetensors").is_file()

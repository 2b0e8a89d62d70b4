"""``rankfold train`` end to end."""

import json

import torch
from safetensors.torch import load_file

import rankfold
from rankfold._checkpoint import read_layouts
from rankfold.data import load_dataset
from rankfold.models import build_model
from rankfold.training import evaluate

FILES = [
    "checkpoint-2.safetensors",
    "checkpoint.safetensors",
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "ranks.jsonl",
    "report.html",
    "times.json",
]


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_run_folder_holds_the_run(train, small, tmp_path, capsys):
    assert train(*small, folder="run") == 0
    folder = tmp_path / "run"
    assert sorted(file.name for file in folder.iterdir()) == FILES
    config = json.loads((folder / "config.json").read_text())
    assert (config["model"], config["rank"], config["learning_rate"]) == ("mlp", 6, 0.1)
    assert "out" not in config
    assert "resume" not in config

    metrics = lines(folder / "metrics.jsonl")
    assert [line["epoch"] for line in metrics] == [1, 2]
    dataset = load_dataset("digits")
    model = build_model("mlp")
    rankfold.load(model, folder / "model.safetensors")
    _, accuracy = evaluate(model, dataset.test_inputs, dataset.test_targets)
    assert accuracy == metrics[-1]["test_accuracy"]
    assert metrics[-1]["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert 0 < metrics[-1]["compression"] < 1

    ranks = lines(folder / "ranks.jsonl")
    layouts = read_layouts(folder / "model.safetensors")
    assert {line["layer"] for line in ranks} == set(layouts)
    for name, layout in layouts.items():
        of_layer = [line for line in ranks if line["layer"] == name]
        assert of_layer[-1]["ranks"] == layout["ranks"]
        assert all(line["ranks"] != line["ranks_before"] for line in of_layer[1:])
    captured = capsys.readouterr()
    assert f"{accuracy:.2%}" in captured.out
    assert captured.err == ""


def test_without_a_terminal_there_is_one_line_and_the_report(train, small, capsys):
    train(*small, folder="run")
    out = capsys.readouterr().out
    assert out.startswith("run folder: run\nmlp on digits, 2 epochs")
    assert "\x1b" not in out
    assert out.count("test accuracy") == 1
    assert "layers.1" in out
    assert "500x500" in out


def test_same_seed_same_run_and_another_seed_another(train, small, tmp_path):
    for folder, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        train(*small, "--epochs", "1", "--seed", seed, folder=folder)
    a, b, c = (load_file(tmp_path / folder / "model.safetensors") for folder in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["layers.0.bias"], c["layers.0.bias"])


def test_without_out_the_run_goes_to_runs_and_latest_points_to_it(train, small, tmp_path, capsys):
    for _ in range(2):
        assert train(*small, "--epochs", "1") == 0
    runs = sorted(path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert len(runs) == 2
    assert runs[0].name.startswith("mlp-digits-")
    assert (tmp_path / "runs" / "latest").resolve() == runs[1]
    assert f"run folder: runs/{runs[1].name}" in capsys.readouterr().out


def test_dense_trains_the_ordinary_network(train, small, tmp_path, capsys):
    assert train(*small, "--dense", "--optimizer", "adamw", folder="run") == 0
    assert "Factorised" not in capsys.readouterr().out
    assert "layers.0.weight" in load_file(tmp_path / "run" / "model.safetensors")
    assert (tmp_path / "run" / "ranks.jsonl").read_text() == ""
    assert lines(tmp_path / "run" / "metrics.jsonl")[-1]["compression"] == 0


def test_one_core_step_takes_two_gradients_of_each_batch(train, small, tmp_path):
    assert train(*small, "--core-steps", "1", "--freeze-bases-after", "1", "--epochs", "1", folder="run") == 0
    # Every batch is a whole cycle, so there is a truncation after the very first.
    assert lines(tmp_path / "run" / "ranks.jsonl")[0]["step"] == 1


def test_bases_stay_after_their_share_of_the_training(train, small, tmp_path):
    assert train(*small, "--core-steps", "2", "--freeze-bases-after", "0.5", folder="run") == 0
    assert max(line["step"] for line in lines(tmp_path / "run" / "ranks.jsonl")) <= 12


def test_a_run_that_only_guesses_says_so_and_what_to_try(train, capsys):
    words = ["--model", "mlp", "--rank", "1", "--learning-rate", "1e-5", "--epochs", "1", "--threads", "1"]
    assert train(*words, folder="run") == 0
    *_, what, first, second, third = capsys.readouterr().out.splitlines()
    assert what.startswith("Look out: the network only guesses: ")
    assert [sentence.split(":")[0] for sentence in (first, second, third)] == [
        "Start again with --rank 0.5 instead of 1",
        "Start again with --epochs 30 instead of 1",
        "Start again with --learning-rate 0.1 instead of 1e-05",
    ]


def test_a_run_that_learns_says_nothing_of_the_kind(train, small, capsys):
    assert train(*small, folder="run") == 0
    assert "Look out" not in capsys.readouterr().out

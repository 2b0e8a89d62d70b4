"""Every failure is one sentence on stderr and exit code 2."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from rankfold.cli import main


def failure(capsys) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "lenet"], "known are alexnet, lenet5, mlp, resnet18, resnet20, vgg16"),
        (["--data", "imagenet"], "known are cifar10, digits, fashion_mnist, mnist"),
        (["--optimizer", "lion"], "known are adam, adamw, sgd"),
        (["--integrator", "euler"], "known are augmented, fixed, parallel"),
        (["--schedule", "step"], "known are constant, cosine"),
        (["--device", "tpu"], "known are cpu, cuda, auto"),
        (["--tolerance", "1"], "--tolerance is 1.0, allowed is a number in [0, 1)"),
        (["--tolerance", "nan"], "--tolerance is nan"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--threads", "0"], "--threads is 0"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--learning-rate", "-1"], "--learning-rate is -1"),
        (["--momentum", "1"], "--momentum is 1"),
        (["--weight-decay", "-0.1"], "--weight-decay is -0.1"),
        (["--core-steps", "0"], "--core-steps is 0"),
        (["--min-rank", "0"], "--min-rank is 0"),
        (["--tolerance-warmup", "-1"], "--tolerance-warmup is -1"),
        (["--freeze-bases-after", "2"], "--freeze-bases-after is 2"),
        (["--rank", "0"], "rank must be a whole number of at least 1"),
        (["--rank", "1.5"], "share must lie in (0, 1]"),
        (["--max-rank", "0"], "rank must be a whole number of at least 1"),
        (["--model", "resnet20"], "takes inputs of 3x32x32"),
        (["--data-dir", "nowhere"], "nowhere is not a folder"),
        (["--resume", "nowhere"], "nowhere: there is no run here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings(train, tmp_path, words, message, capsys):
    assert train(*words) == 2
    assert message in failure(capsys)
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_cuda_where_there_is_none(train, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert train("--device", "cuda") == 2
    assert "finds no CUDA device" in failure(capsys)


@pytest.mark.parametrize("words", [["train", "--epochs", "many"], ["train", "--no-such-flag"], ["dance"], []])
def test_words_that_cannot_be_read(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_with_a_run_is_refused(train, small, tmp_path, capsys):
    train(*small, "--epochs", "1", folder="run", stop_after=1)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    capsys.readouterr()
    assert train(*small, folder="run") == 2
    assert "run: the folder holds a run already (config.json)" in failure(capsys)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}


def test_out_is_a_file(train, small, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert train(*small, folder="file/run") == 2
    assert "cannot be made (Not a directory)" in failure(capsys)


def test_a_run_that_diverges(train, small, capsys):
    assert train(*small, "--learning-rate", "1e30", folder="run") == 2
    assert "holds NaN or infinity" in failure(capsys)


@pytest.fixture
def interrupted(train, small, tmp_path, capsys):
    train(*small, folder="run", stop_after=13)
    capsys.readouterr()
    return tmp_path / "run"


def edited(file, **changes):
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def no_config(run):
    (run / "config.json").unlink()


def cut_config(run):
    (run / "config.json").write_text('{"model": "ml')


def binary_config(run):
    (run / "config.json").write_bytes(b"\xff\xfe\x00")


def config_is_a_list(run):
    (run / "config.json").write_text("[1, 2]")


def config_of_another_version(run):
    edited(run / "config.json", rank=..., temperature=3)


def config_of_another_type(run):
    edited(run / "config.json", epochs="ten")


def config_out_of_range(run):
    edited(run / "config.json", epochs=0)


def config_of_another_model(run):
    edited(run / "config.json", model="lenet5")


def config_of_another_optimizer(run):
    edited(run / "config.json", dense=True)


def no_checkpoint(run):
    for file in run.glob("checkpoint*.safetensors"):
        file.unlink()


def cut_checkpoints(run):
    for file in run.glob("checkpoint*.safetensors"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def model_for_checkpoint(run):
    (run / "checkpoint.safetensors").write_bytes((run / "model.safetensors").read_bytes())


def other_state_for_checkpoint(run):
    from rankfold._checkpoint import save_state

    save_state(run / "checkpoint.safetensors", [1, 2])


def cut_metrics(run):
    (run / "metrics.jsonl").write_text('{"epoch": 1')


def no_metrics(run):
    (run / "metrics.jsonl").unlink()


def other_metrics(run):
    (run / "metrics.jsonl").write_text('{"epoch": 1}\n')


def ranks_are_numbers(run):
    (run / "ranks.jsonl").write_text("1\n2\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_config, "there is no run here (no config.json)"),
        (cut_config, "config.json: not readable as JSON"),
        (binary_config, "config.json: cannot be read"),
        (config_is_a_list, "config.json: the settings are not those of this version"),
        (config_of_another_version, "(missing: rank; unknown: temperature)"),
        (config_of_another_type, 'config.json: epochs is "ten"'),
        (config_out_of_range, "--epochs is 0"),
        (config_of_another_model, "does not fit the settings in config.json"),
        (config_of_another_optimizer, "does not fit the settings in config.json"),
        (no_checkpoint, "checkpoint.safetensors: there is no such file"),
        (cut_checkpoints, "run: all 2 checkpoints are damaged, the newest: run/checkpoint.safetensors"),
        (model_for_checkpoint, "checkpoint.safetensors: the file holds no training state"),
        (other_state_for_checkpoint, "does not fit the settings in config.json"),
        (cut_metrics, "metrics.jsonl: not readable as JSON"),
        (no_metrics, "metrics.jsonl: 0 lines, but the checkpoint knows 1"),
        (other_metrics, "metrics.jsonl: a line lacks 'compression'"),
        (ranks_are_numbers, "ranks.jsonl: a line is not a JSON object"),
    ],
)
def test_damaged_runs(train, interrupted, damage, message, capsys):
    damage(interrupted)
    before = {file.name: file.read_bytes() for file in interrupted.iterdir()}
    assert train("--resume", "run") == 2
    assert message in failure(capsys)
    assert before == {file.name: file.read_bytes() for file in interrupted.iterdir()}


def test_other_failures_of_the_file_system(monkeypatch, capsys):
    from rankfold.cli import _app

    def fail(config):
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr(_app, "inspect", fail)
    assert main(["inspect", "x"]) == 2
    assert failure(capsys) == "rankfold: some/file: Permission denied.\n"


@pytest.mark.parametrize("package", ["tyro", "rich"])
def test_without_the_extra(package, monkeypatch, capsys):
    for name in [
        name for name in sys.modules if name.startswith(("rankfold.cli._", "rankfold.report", package))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["train"]) == 2
    assert "pip install 'rankfold[cli]'" in failure(capsys)


def test_a_reader_that_has_left_is_no_traceback(tmp_path):
    file = tmp_path / "many.safetensors"
    save_file({f"tensor {index}": torch.zeros(1) for index in range(4000)}, file)  # more than a pipe holds
    code = "import sys; from rankfold.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "inspect", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1

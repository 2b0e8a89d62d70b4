"""The flags are an interface: a change here is a change of it."""

import re
from dataclasses import fields

import pytest

from rankfold.cli import main
from rankfold.cli._bench_layer_config import BenchLayerConfig
from rankfold.cli._compress_config import CompressConfig
from rankfold.cli._compress_normalize import NORMALIZATIONS
from rankfold.cli._decompose_config import FORMATS, DecomposeConfig
from rankfold.cli._export_config import SUFFIXES, ExportConfig
from rankfold.cli._inspect_config import InspectConfig
from rankfold.cli._report_config import ReportConfig
from rankfold.cli._study_config import StudyConfig
from rankfold.cli._train_config import TrainConfig
from rankfold.convert import POLICIES
from rankfold.data import DATASETS, TENSOR_FILES
from rankfold.decompose import METHODS
from rankfold.models import MODELS
from rankfold.studies import STUDIES
from rankfold.training import INTEGRATORS

BENCH_LAYER_FLAGS = [
    "--batch",
    "--channels-last",
    "--device",
    "--help",
    "--json",
    "--kernel",
    "--ranks",
    "--size",
    "--stride",
    "--threads",
    "--training",
]
COMPRESS_FLAGS = [
    "--batch-size",
    "--calibrate",
    "--calibration-samples",
    "--data-dir",
    "--device",
    "--distillation",
    "--export",
    "--finetune-epochs",
    "--help",
    "--input-shape",
    "--key",
    "--latency-batch",
    "--learning-rate",
    "--model",
    "--normalize",
    "--output",
    "--overwrite",
    "--policy",
    "--seed",
    "--threads",
]
DECOMPOSE_FLAGS = [
    "--axis",
    "--device",
    "--energy",
    "--format",
    "--help",
    "--key",
    "--loss",
    "--mask",
    "--memory",
    "--method",
    "--nonnegative",
    "--out",
    "--rank",
    "--ranks",
    "--restarts",
    "--seed",
    "--symmetric",
    "--threads",
    "--tolerance",
]
EXPORT_FLAGS = [
    "--fixed-batch",
    "--format",
    "--help",
    "--input-shape",
    "--model",
    "--opset",
    "--output",
    "--tolerance",
]
INSPECT_FLAGS = [
    "--device",
    "--help",
    "--input-shape",
    "--latency-batch",
    "--model",
    "--policy",
    "--threads",
]
REPORT_FLAGS = ["--help", "--out"]
STUDY_FLAGS = [
    "--all",
    "--data-dir",
    "--device",
    "--full",
    "--help",
    "--list",
    "--out",
    "--overwrite",
    "--seed",
    "--threads",
]
FLAGS = [
    "--batch-size",
    "--checkpoint-every",
    "--core-steps",
    "--data",
    "--data-dir",
    "--dense",
    "--device",
    "--diagnose",
    "--epochs",
    "--freeze-bases-after",
    "--help",
    "--integrator",
    "--keep",
    "--learning-rate",
    "--max-rank",
    "--min-rank",
    "--model",
    "--momentum",
    "--optimizer",
    "--out",
    "--rank",
    "--resume",
    "--schedule",
    "--seed",
    "--tensorboard",
    "--threads",
    "--tolerance",
    "--tolerance-warmup",
    "--watch",
    "--weight-decay",
]


def help_text(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("train", FLAGS),
        ("bench-layer", BENCH_LAYER_FLAGS),
        ("compress", COMPRESS_FLAGS),
        ("inspect", INSPECT_FLAGS),
        ("decompose", DECOMPOSE_FLAGS),
        ("export", EXPORT_FLAGS),
        ("study", STUDY_FLAGS),
        ("report", REPORT_FLAGS),
    ],
)
def test_flags(command, flags, capsys):
    rows = re.findall(r"^\W (?:-h, )?(--[a-z-]+)", help_text(capsys, command), re.MULTILINE)
    assert sorted(rows) == flags


def test_the_help_names_every_choice(capsys):
    text = help_text(capsys, "train")
    for registry in (MODELS, DATASETS, INTEGRATORS):
        assert "{" + ",".join(registry) + "}" in text


def test_the_help_of_decompose_names_every_choice(capsys):
    text = help_text(capsys, "decompose")
    assert "{" + ",".join(FORMATS) + "}" in text
    for method in METHODS:
        assert method in text
    for kind in TENSOR_FILES:
        assert kind in text


def test_the_help_of_study_names_every_study(capsys):
    text = help_text(capsys, "study")
    for name in STUDIES:
        assert name in text


def test_the_help_of_export_names_every_format(capsys):
    assert "{" + ",".join(SUFFIXES) + "}" in help_text(capsys, "export")


def test_the_help_of_compress_names_every_choice(capsys):
    text = help_text(capsys, "compress")
    for choices in (POLICIES, DATASETS, NORMALIZATIONS, SUFFIXES):
        assert "{" + ",".join(choices) in text


def test_commands(capsys):
    text = help_text(capsys)
    assert "train" in text
    assert "compress" in text
    assert "inspect" in text
    assert "bench-layer" in text
    assert "decompose" in text
    assert "export" in text
    assert "study" in text
    assert "report" in text


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig,
        BenchLayerConfig,
        CompressConfig,
        DecomposeConfig,
        ExportConfig,
        InspectConfig,
        StudyConfig,
        ReportConfig,
    ],
)
def test_every_setting_is_described(config):
    described = re.findall(r"^        (\w+): ", config.__doc__ or "", re.MULTILINE)
    assert described == [field.name for field in fields(config)]

"""The settings of ``rankfold compress``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.cli._compress_normalize import NORMALIZATIONS, given_normalization
from rankfold.cli._export_config import SUFFIXES
from rankfold.cli._report_config import page_of
from rankfold.convert import POLICIES, parse_policy
from rankfold.data import DATASETS, TENSOR_FILES

__all__ = ["RECORD", "CompressConfig", "checked_compress", "files_of"]

#: How the names of records end.
RECORD = ".compression.json"

# Sparse files hold no samples along a first axis.
_SAMPLES = tuple(name for name in TENSOR_FILES if not name.startswith(".tns"))


@dataclass(frozen=True, kw_only=True)
class CompressConfig:
    """Make a trained network smaller: its layers are factorised where that hurts least.

    Arguments:
        weights: a .safetensors file that rankfold wrote, or of a plain state dict.
        model: a reference network by name, or module:callable for a function or class of yours without arguments.
        policy: how the ranks are found, such as energy=0.9, tolerance=0.1 or budget params=0.2.
        calibrate: a data set, or a file of inputs (.npy and others); None looks at the weights alone.
        calibration_samples: taken at random, or all if there are fewer; 0 leaves a data set to testing.
        key: which array of a calibration file of several.
        data_dir: folder to search for the data set first.
        normalize: constants of the data set that the network was trained with: dataset for its own, imagenet, unit
            for pixels in [0, 1], or mean/deviation as in 0.5,0.5,0.5/0.5,0.5,0.5.
        finetune_epochs: passes over the training set after the truncation; 0 for none.
        learning_rate: of the fine-tuning at its peak.
        distillation: share of its loss that compares with the outputs of the network as it was, in [0, 1].
        batch_size: samples per step of calibration and fine-tuning.
        input_shape: of one sample of each input, such as 3x32x32 or int64:16; none where network or data tell.
        output: the factorised network; None means the name of the weights with -compressed.
        export: write the folded network beside it, as onnx or torch.
        overwrite: replace files that exist.
        latency_batch: samples per call whose time is measured.
        seed: of the samples for calibration, and of the order and changes of those for fine-tuning.
        threads: CPU threads; None leaves the choice to PyTorch.
        device: cpu, cuda, or auto for cuda where there is one.
    """

    weights: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="WEIGHTS")]
    model: Annotated[str, tyro.conf.arg(metavar="NAME|MODULE:CALLABLE")]
    policy: Annotated[tuple[str, ...], tyro.conf.arg(metavar="{" + ",".join(POLICIES) + "}[=VALUE]...")] = (
        "budget",
        "params=0.5",
    )
    calibrate: Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(DATASETS) + "}|FILE")] = None
    calibration_samples: int = 1000
    key: str | None = None
    data_dir: Path | None = None
    normalize: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(NORMALIZATIONS) + "}|M,M.../D,D...")] = (
        "dataset"
    )
    finetune_epochs: int = 0
    learning_rate: float = 0.01
    distillation: float = 0.0
    batch_size: int = 100
    input_shape: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[DTYPE:]NxN...")] = ()
    output: Path | None = None
    export: Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(SUFFIXES) + "}")] = None
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    latency_batch: int = 64
    seed: int = 0
    threads: int | None = None
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"


def files_of(config: CompressConfig) -> dict[str, Path]:
    """Where the network, the record, its page and the exported file go, by these names."""
    output = config.output
    assert output is not None
    record = output.with_name(f"{output.stem}{RECORD}")
    places = {"network": output, "record": record, "page": page_of(record)}
    if config.export is not None:
        places["exported network"] = output.with_name(f"{output.stem}{SUFFIXES[config.export]}")
    return places


def checked_compress(config: CompressConfig) -> CompressConfig:
    """The settings with the output filled in, found to be in range before the network is built.

    Raises:
        OptionError: the first setting that is out of range, unknown or of no use without another.
    """
    policy = " ".join(config.policy)
    parse_policy(policy, example_inputs=())  # inputs are not known yet
    if config.export is not None and config.export not in SUFFIXES:
        raise OptionError(
            f"compress: --export got {config.export!r}, known are {', '.join(SUFFIXES)}; choose one."
        )
    _check_numbers(config)
    _check_calibration(config)
    chosen_device(config.device)
    output = config.output or config.weights.with_name(f"{config.weights.stem}-compressed.safetensors")
    config = replace(config, output=output, policy=(policy,))
    _check_places(config)
    return config


def _check_numbers(config: CompressConfig) -> None:
    for flag, value, fits, allowed in (
        ("calibration-samples", config.calibration_samples, config.calibration_samples >= 0, "at least 0"),
        ("finetune-epochs", config.finetune_epochs, config.finetune_epochs >= 0, "at least 0"),
        ("learning-rate", config.learning_rate, 0 < config.learning_rate < float("inf"), "a number over 0"),
        ("distillation", config.distillation, 0 <= config.distillation <= 1, "a number in [0, 1]"),
        ("batch-size", config.batch_size, config.batch_size >= 1, "at least 1"),
        ("latency-batch", config.latency_batch, config.latency_batch >= 1, "at least 1"),
        ("seed", config.seed, 0 <= config.seed < 2**63, "a whole number from 0 to 2^63 - 1"),
        ("threads", config.threads, config.threads is None or config.threads >= 1, "at least 1"),
    ):
        if not fits:
            raise OptionError(f"compress: --{flag} is {value}, allowed is {allowed}; choose such a value.")


def _check_calibration(config: CompressConfig) -> None:
    given_normalization(config.normalize)
    if config.calibrate is None or config.calibrate not in DATASETS:
        for flag, given in (
            ("finetune-epochs", config.finetune_epochs > 0),
            ("normalize", config.normalize != "dataset"),
            ("data-dir", config.data_dir is not None),
        ):
            if given:
                raise OptionError(
                    f"compress: --{flag} is for a data set; name one with --calibrate, known are {', '.join(DATASETS)}."
                )
        if config.calibrate is not None and not config.calibrate.lower().endswith(_SAMPLES):
            raise OptionError(
                f"compress: --calibrate got {config.calibrate!r}, known are the data sets {', '.join(DATASETS)} and "
                f"files whose names end in {', '.join(_SAMPLES)}; choose one."
            )
        if config.calibrate is not None and config.calibration_samples == 0:
            raise OptionError(
                "compress: --calibration-samples 0 leaves a file without use; leave out --calibrate."
            )
    if config.key is not None and (config.calibrate is None or config.calibrate in DATASETS):
        raise OptionError("compress: --key is for a calibration file; name one with --calibrate.")
    if config.distillation and not config.finetune_epochs:
        raise OptionError("compress: --distillation is of the fine-tuning; give --finetune-epochs too.")


def _check_places(config: CompressConfig) -> None:
    assert config.output is not None
    if config.output.suffix != ".safetensors":
        raise OptionError(
            f"compress: --output {config.output} is the factorised network; give it a name that ends in .safetensors."
        )
    if config.output.resolve() == config.weights.resolve():
        raise OptionError(
            f"compress: --output {config.output} is the file of the weights; name another file."
        )
    if not config.output.parent.is_dir():
        raise OptionError(
            f"compress: --output {config.output} is in no folder; name a file in one that exists."
        )
    for place in files_of(config).values():
        if place.is_dir() or (place.exists() and not config.overwrite):
            raise OptionError(f"compress: {place} exists; name another --output, or give --overwrite.")

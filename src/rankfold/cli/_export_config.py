"""The settings of ``rankfold export``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError

__all__ = ["SUFFIXES", "ExportConfig", "checked_export"]

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}  # of the files of each format, by custom


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a network as a file that runs without this library: with onnxruntime alone, or with PyTorch alone.

    Arguments:
        weights: a .safetensors file that rankfold wrote, or of a plain state dict.
        model: a reference network by name, or module:callable for a function or class of yours without arguments.
        format: onnx, or torch for a program of torch.export.
        output: the file, overwritten if it exists; None means the name of the weights with another ending.
        input_shape: of one sample of each input, such as 3x32x32 or int64:16; none for reference networks.
        fixed_batch: rows that the file takes; None means any number.
        opset: version of the ONNX operators; None leaves it to PyTorch.
        tolerance: relative difference to the network that is allowed; None is a multiple of the rounding.
    """

    weights: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="WEIGHTS")]
    model: Annotated[str, tyro.conf.arg(metavar="NAME|MODULE:CALLABLE")]
    format: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(SUFFIXES) + "}")] = "onnx"
    output: Path | None = None
    input_shape: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[DTYPE:]NxN...")] = ()
    fixed_batch: int | None = None
    opset: int | None = None
    tolerance: float | None = None


def checked_export(config: ExportConfig) -> ExportConfig:
    """The settings with the output filled in, found to be in range before the network is built.

    Raises:
        OptionError: the first setting that is out of range, unknown or of the other format.
    """
    if config.format not in SUFFIXES:
        raise OptionError(
            f"export: got format {config.format!r}, known are {', '.join(SUFFIXES)}; choose one."
        )
    if config.opset is not None and config.format != "onnx":
        raise OptionError(f"export: --opset is of onnx only; leave it out for {config.format}.")
    for flag, value, fits, allowed in (
        (
            "fixed-batch",
            config.fixed_batch,
            config.fixed_batch is None or config.fixed_batch >= 1,
            "at least 1",
        ),
        ("opset", config.opset, config.opset is None or config.opset >= 1, "at least 1"),
        (
            "tolerance",
            config.tolerance,
            config.tolerance is None or 0 <= config.tolerance < 1,
            "a number in [0, 1)",
        ),
    ):
        if not fits:
            raise OptionError(f"export: --{flag} is {value}, allowed is {allowed}; choose such a value.")
    output = config.output or config.weights.parent / f"{config.weights.stem}{SUFFIXES[config.format]}"
    if output.resolve() == config.weights.resolve():
        raise OptionError(f"export: --output {output} is the file of the weights; name another file.")
    if not output.parent.is_dir() or output.is_dir():
        raise OptionError(
            f"export: --output {output} is a folder or in none; name a file in a folder that exists."
        )
    return replace(config, output=output)

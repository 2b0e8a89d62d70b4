"""``rankfold compress``."""

import time
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

import rankfold
from rankfold._errors import OptionError, RankfoldError
from rankfold.cli._check_config import chosen_device
from rankfold.cli._compress_config import CompressConfig, files_of
from rankfold.cli._compress_data import CompressionData, input_shapes_of, load_compression_data
from rankfold.cli._compress_files import write_compression
from rankfold.cli._compress_network import compress_network
from rankfold.cli._console import make_console
from rankfold.cli._input_shapes import example_inputs
from rankfold.cli._interrupt import Interrupted, code_of_abort
from rankfold.cli._measure import check_runs
from rankfold.cli._model_source import load_network
from rankfold.cli._report import leave_page
from rankfold.export._onnx_runtime import require_onnx
from rankfold.report import StagesDisplay, compression_report

__all__ = ["compress"]


def compress(config: CompressConfig) -> None:
    """Load a network, compress it, write it, and report it before and after.

    Arguments:
        config: checked settings.

    Raises:
        RankfoldError: network, weights or data cannot be read or compressed, or the files not written.
        Interrupted: someone asked to stop; nothing is written.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    tuned = rankfold.tune_cpu_allocator()  # or page faults decide which form seems faster
    if config.export == "onnx":
        require_onnx("compress")  # not after an hour of fine-tuning
    console = make_console()
    try:
        with StagesDisplay(console) as display:
            network, record = _compressed(config, display)
    except KeyboardInterrupt as interrupt:
        raise Interrupted("interrupted; nothing was written.", code_of_abort(interrupt)) from None
    written = write_compression(config, *network, {"allocator_tuned": tuned, **record})
    places = files_of(config)
    with suppress(OSError):
        places["page"].unlink()  # one of another record is worse than none
    without = leave_page(places["record"], places["record"])
    console.print(compression_report(written.record))
    missing = {
        name for name, why in (("exported network", written.failure), ("page", without)) if why is not None
    }
    for name, place in places.items():
        if name not in missing:
            console.print(f"{name}: {place}", soft_wrap=True)
    if without is not None:
        console.print(without, soft_wrap=True)
    if written.failure is not None:
        raise written.failure


def _compressed(
    config: CompressConfig, display: StagesDisplay
) -> tuple[tuple[nn.Module, tuple[Tensor, ...]], dict[str, Any]]:
    """The compressed network with inputs for it, and what is known of it."""
    started = time.perf_counter()
    try:
        network, inputs, data = _opened(config, display)
        record = compress_network(config, network, inputs, data, display)
    except RankfoldError:
        raise
    except (RuntimeError, MemoryError) as error:
        first = str(error).partition("\n")[0] or "out of memory"
        if "memory" not in first:
            raise
        raise OptionError(
            f"compress: memory ran out ({first}); choose a smaller --batch-size or --latency-batch."
        ) from None
    record["seconds"]["in all"] = time.perf_counter() - started
    return (network, inputs), record


def _opened(
    config: CompressConfig, display: StagesDisplay
) -> tuple[nn.Module, tuple[Tensor, ...], CompressionData]:
    """The dense network, inputs for the call whose time is measured, and the data."""
    torch.manual_seed(config.seed)  # for layers that draw numbers in training
    device = chosen_device(config.device)
    shapes = input_shapes_of(config)
    display.show(f"reading {config.weights.name}")
    loaded = load_network(config.model, config.weights, input_shape=shapes[0].sizes)
    # What is factorised already is approximated anew, from the weights that it stands for.
    network = rankfold.densify(loaded).to(device).eval()
    inputs = tuple(x.to(device) for x in example_inputs(shapes, network, config.latency_batch))
    check_runs("compress", network, inputs)
    if config.calibrate is not None:
        display.show(f"reading {config.calibrate}")
    data = load_compression_data(config, shapes[0], inputs[0].dtype)
    if data.calibration is not None:
        rows = torch.arange(config.latency_batch) % len(data.calibration)
        inputs = (data.calibration[rows].to(device),)
    check_runs("compress", network, inputs, None if data.dataset is None else data.dataset.classes)
    return network, inputs, data

"""``rankfold bench-layer``."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from rankfold import __version__, layers
from rankfold._checkpoint import atomic_path
from rankfold._errors import OptionError
from rankfold.cli._bench_layer_config import BenchLayerConfig
from rankfold.cli._check_config import chosen_device
from rankfold.cli._console import make_console
from rankfold.cli._report import leave_page
from rankfold.cli._report_bench_layer import BENCH_FORMAT
from rankfold.cli._report_config import page_of
from rankfold.cli._words_of import words_of
from rankfold.convert import Timings, time_layers
from rankfold.ranks import Call, Fixed
from rankfold.report import LayerBench, RankBench, bench_layer_table, break_even_rank, verdict

__all__ = ["bench_layer"]


def bench_layer(config: BenchLayerConfig) -> None:
    """Time a layer, dense and at several ranks, and print a table.

    Arguments:
        config: checked settings.

    Raises:
        OptionError: the layer cannot be run at this size.
        CheckpointError: the file cannot be written.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    try:
        bench = _measured(config)
    except (RuntimeError, MemoryError) as error:  # what torch raises where memory is short
        first = str(error).partition("\n")[0] or "out of memory"
        raise OptionError(
            f"bench-layer: the layer cannot be run at this size ({first}); choose a smaller --batch."
        ) from None
    console = make_console()
    console.print(bench.title, soft_wrap=True)
    console.print(bench_layer_table(bench))
    console.print(verdict(bench), soft_wrap=True)
    if config.json is not None:
        _write(config, config.json, bench)
        missing = leave_page(config.json, config.json)
        console.print(missing or f"page: {page_of(config.json)}", soft_wrap=True)


def _write(config: BenchLayerConfig, file: Path, bench: LayerBench) -> None:
    settings = {
        **asdict(config),
        "device": str(chosen_device(config.device)),
        "threads": torch.get_num_threads(),
    }
    del settings["json"]
    content = {
        "format": BENCH_FORMAT,
        "command": words_of(
            "bench-layer", config, positional=("kind", "inputs", "outputs"), leave_out=("json",)
        ),
        "versions": {
            "rankfold": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "settings": settings,
        **asdict(bench),
        "break_even_rank": break_even_rank(bench.ranks),
        "verdict": verdict(bench),
    }
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _measured(config: BenchLayerConfig) -> LayerBench:
    dense, call = _placed(_layer(config, None), config), _call(config)
    times: list[float] = []
    rows: list[RankBench] = []
    for rank in config.ranks:
        layer = _layer(config, rank)
        assert isinstance(layer, layers.FactorizedLayer)
        chains = [_placed(form, config) for form in layer.fold_candidates()[1:]]
        sides = [dense, _placed(layer, config), *chains]
        timings = time_layers(sides, [call], training=config.training)
        times.append(timings.seconds(0))
        work = _operations(dense, call) / _operations(chains[-1], call)
        rows.append(_row(rank, timings, work, config.training))
    return LayerBench(title=_title(config, call), dense=median(times), ranks=tuple(rows))


def _row(rank: int, timings: Timings, work: float, training: bool) -> RankBench:
    chains = range(2, len(timings.rounds))
    usable = (1,) if training else (1, *chains)  # folded layers are for use, not for TDLRT
    return RankBench(
        rank=rank,
        factorized=timings.seconds(1),
        folded=min(timings.seconds(chain) for chain in chains),
        flop_ratio=work,
        speedup=1 / min(timings.ratio(side) for side in usable),
    )


def _layer(config: BenchLayerConfig, rank: int | None) -> nn.Module:
    options: dict[str, Any] = {} if rank is None else {"rank": Fixed(rank)}
    if config.kind == "linear":
        kind = nn.Linear if rank is None else layers.Linear
        return kind(config.inputs, config.outputs, **options)
    assert config.kernel is not None
    kind = nn.Conv2d if rank is None else layers.Conv2d
    options.update(stride=config.stride, padding=config.kernel // 2)
    return kind(config.inputs, config.outputs, config.kernel, **options)


def _placed(module: nn.Module, config: BenchLayerConfig) -> nn.Module:
    module = module.to(chosen_device(config.device)).train(config.training)
    return module.to(memory_format=torch.channels_last) if config.channels_last else module  # pyright: ignore[reportCallIssue]


def _call(config: BenchLayerConfig) -> Call:
    shape = (config.batch, config.inputs)
    if config.kind == "conv":
        assert config.size is not None
        shape += (config.size, config.size)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    given = torch.empty(shape, memory_format=layout)
    return Call(
        shape=shape,
        stride=given.stride(),
        dtype=given.dtype,
        device=chosen_device(config.device),
        requires_grad=config.training,
    )


@torch.no_grad()
def _operations(module: nn.Module, call: Call) -> float:
    """Multiplications of a forward: each number of the output but for the channels takes all of the weight."""
    total, hidden = 0.0, call.input()
    for stage in module if isinstance(module, nn.Sequential) else [module]:
        hidden = stage(hidden)
        weight = stage.weight
        assert isinstance(weight, Tensor)
        total += weight.numel() * hidden.numel() / hidden.shape[1]
    return total


def _title(config: BenchLayerConfig, call: Call) -> str:
    kind = "Linear" if config.kind == "linear" else f"Conv2d {config.kernel}x{config.kernel}"
    stride = f", stride {config.stride}" if config.stride not in (None, 1) else ""
    layout = ", channels last" if config.channels_last else ""
    work = "forward and backward" if config.training else "forward"
    place = "1 thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    place = place if call.device.type == "cpu" else call.device.type
    return (
        f"{kind} {config.inputs} to {config.outputs}{stride}, input {'x'.join(map(str, call.shape))}{layout}, "
        f"{work}, {place}"
    )

"""The settings of ``rankfold bench-layer``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.ranks import QUANTUM

__all__ = ["BenchLayerConfig", "checked_bench"]

_CONV_DEFAULTS = {"kernel": 3, "size": 16, "stride": 1}
_ROWS = 8  # of the table, where no ranks are given


@dataclass(frozen=True, kw_only=True)
class BenchLayerConfig:
    """Time one layer on this machine, dense and at several ranks.

    Arguments:
        kind: of the layer.
        inputs: channels or features that come in.
        outputs: channels or features that go out.
        kernel: height and width of the window of conv; None means 3.
        size: height and width of the images that conv is given; None means 16.
        stride: of conv; None means 1.
        batch: samples at a time.
        ranks: to try; none means multiples of 16 below the full rank.
        training: time forward and backward instead of the forward alone.
        channels_last: store images and windows with the channels innermost.
        threads: CPU threads; None leaves the choice to PyTorch.
        device: cpu, cuda, or auto for cuda where there is one.
        json: file to write the figures to as well, with a page beside it: NAME.json and NAME.html.
    """

    kind: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="{conv,linear}")]
    inputs: tyro.conf.Positional[int]
    outputs: tyro.conf.Positional[int]
    kernel: int | None = None
    size: int | None = None
    stride: int | None = None
    batch: int = 64
    ranks: tuple[int, ...] = ()
    training: tyro.conf.FlagCreatePairsOff[bool] = False
    channels_last: tyro.conf.FlagCreatePairsOff[bool] = False
    threads: int | None = None
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"
    json: Path | None = None


def checked_bench(config: BenchLayerConfig) -> BenchLayerConfig:
    """The settings with the defaults of the layer and the ranks filled in, all found to be in range.

    Raises:
        OptionError: the first setting that is out of range, unknown, or of another kind of layer.
    """
    if config.kind not in ("conv", "linear"):
        raise OptionError(f"bench-layer: got layer {config.kind!r}, known are conv, linear; choose one.")
    for name, default in _CONV_DEFAULTS.items():
        if config.kind == "conv" and getattr(config, name) is None:
            config = replace(config, **{name: default})
        elif config.kind == "linear" and getattr(config, name) is not None:
            raise OptionError(f"bench-layer: --{name} is of conv only; leave it out for linear.")
    if config.kind == "linear" and config.channels_last:
        raise OptionError("bench-layer: --channels-last is of conv only; leave it out for linear.")
    for name in ("inputs", "outputs", "kernel", "size", "stride", "batch", "threads"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise OptionError(f"bench-layer: {name} is {value}, allowed is at least 1; choose such a value.")
    chosen_device(config.device)
    if config.json is not None and not config.json.parent.is_dir():
        raise OptionError(
            f"bench-layer: --json {config.json}: there is no such folder; name one that exists."
        )
    if config.json is not None and config.json.suffix == ".html":
        raise OptionError(
            f"bench-layer: --json {config.json}: the page beside the figures takes this name; name a .json."
        )
    window = (config.kernel or 1) ** 2
    full = max(
        min(config.inputs, config.outputs * window),
        min(config.outputs, config.inputs * window),
    )
    for rank in config.ranks:
        if not 1 <= rank <= full:
            raise OptionError(f"bench-layer: --ranks has {rank}, allowed is 1 to {full}; choose such ranks.")
    if full == 1:
        raise OptionError("bench-layer: the weight has rank 1 as it is; choose a larger layer.")
    step = QUANTUM * -(-full // (QUANTUM * _ROWS))
    tried = config.ranks or tuple(range(step, full, step)) or (full // 2,)
    return replace(config, ranks=tuple(sorted(set(tried))))

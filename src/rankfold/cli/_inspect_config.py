"""The settings of ``rankfold inspect``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.convert import POLICIES, parse_policy

__all__ = ["InspectConfig", "checked_inspect"]


@dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """Show a run, a .safetensors file or the record of a compression; with --model spectra, ranks and costs of layers.

    Arguments:
        path: folder of a run, a file of weights, or a .compression.json.
        model: a reference network by name, or module:callable for a function or class of yours without arguments.
        policy: show the network at the ranks that this policy would give it, such as energy=0.9.
        input_shape: of one sample of each input, such as 3x32x32 or int64:16; none for reference networks.
        latency_batch: samples per call whose time is measured.
        threads: CPU threads; None leaves the choice to PyTorch.
        device: cpu, cuda, or auto for cuda where there is one.
    """

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN-OR-FILE")]
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|MODULE:CALLABLE")] = None
    policy: Annotated[tuple[str, ...], tyro.conf.arg(metavar="{" + ",".join(POLICIES) + "}[=VALUE]...")] = ()
    input_shape: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[DTYPE:]NxN...")] = ()
    latency_batch: int = 64
    threads: int | None = None
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"


def checked_inspect(config: InspectConfig) -> InspectConfig:
    """The settings, found to be in range and of use.

    Raises:
        OptionError: the first setting that is out of range, unknown or of no use without a network.
    """
    if config.model is None:
        plain = InspectConfig(path=config.path)
        for name in ("policy", "input_shape", "latency_batch", "threads", "device"):
            if getattr(config, name) != getattr(plain, name):
                flag = name.replace("_", "-")
                raise OptionError(f"inspect: --{flag} is for a network; name it with --model.")
        return config
    for flag, value in (("latency-batch", config.latency_batch), ("threads", config.threads)):
        if value is not None and value < 1:
            raise OptionError(f"inspect: --{flag} is {value}, allowed is at least 1; choose such a value.")
    chosen_device(config.device)
    if not config.policy:
        return config
    policy = " ".join(config.policy)
    parse_policy(policy, example_inputs=())  # inputs are not known yet
    return replace(config, policy=(policy,))

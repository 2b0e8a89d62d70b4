"""What networks cost: multiplications by PyTorch's counter, time on this machine, accuracy."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rankfold._checkpoint._words import brief
from rankfold._errors import OptionError
from rankfold.convert import Timings, time_layers
from rankfold.ranks import Call
from rankfold.report import sizes
from rankfold.training import evaluate

__all__ = [
    "accuracy",
    "check_runs",
    "count_flops",
    "count_parameters",
    "flops_per_sample",
    "place_of",
    "time_networks",
]

_REPEATS = 3  # of the rounds of time_layers: whole networks are few, and their times are printed
_BATCH = 500  # samples per forward of a test


def check_runs(
    where: str, network: nn.Module, inputs: tuple[Tensor, ...], classes: int | None = None
) -> None:
    """Raise OptionError unless a network takes the inputs, and gives logits if ``classes`` is not None.

    Arguments:
        where: the command, for the message.
        network: in eval mode.
        inputs: its arguments.
        classes: of the data set that it is tested on.
    """
    shapes = ", ".join(sizes(x.shape) for x in inputs)
    try:
        with torch.no_grad():
            outputs = network(*inputs)
    except Exception as error:
        raise OptionError(
            f"{where}: the network fails on inputs of {shapes} ({type(error).__name__}: {brief(error)}); name data or "
            "an --input-shape that it takes."
        ) from error
    if classes is None:
        return
    rows = len(inputs[0])
    fits = isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == rows
    if not fits or outputs.shape[1] < classes:
        found = sizes(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise OptionError(
            f"{where}: for {rows} samples the network gives {found}, where the data set asks for logits of {classes} "
            "classes; calibrate on a file of inputs instead."
        )


def count_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of what a function does; a multiplication with its addition counts as two."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see into fused encoder layers
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()


def flops_per_sample(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Floating-point operations of a call in eval mode over the number of its samples."""
    return count_flops(lambda: network(*inputs)) // len(inputs[0])


def place_of(like: Tensor) -> str:
    """Where and how it is computed with a tensor, in words."""
    if like.device.type != "cpu":
        return like.device.type
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''}"


def count_parameters(network: nn.Module) -> int:
    """Parameters, shared ones once."""
    return sum(parameter.numel() for parameter in network.parameters())


def _call_of(inputs: tuple[Tensor, ...]) -> Call:
    """How a whole network is called."""
    first = inputs[0]
    return Call(
        shape=tuple(first.shape),
        stride=first.stride(),
        dtype=first.dtype,
        device=first.device,
        values=first,
        arguments=inputs[1:],
    )


def time_networks(networks: Sequence[nn.Module], inputs: tuple[Tensor, ...]) -> Timings:
    """Seconds per call of networks in eval mode that take turns, so that a change of the machine meets them all."""
    parts = [time_layers(networks, [_call_of(inputs)]) for _ in range(_REPEATS)]
    return Timings(tuple(sum(sides, ()) for sides in zip(*(part.rounds for part in parts), strict=True)))


def accuracy(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    like: Tensor,
    advance: Callable[[int, int], object],
) -> float:
    """Share of right answers of a classifier in eval mode.

    Arguments:
        network: gives logits.
        inputs: ``(N, ...)``.
        targets: ``(N,)``.
        like: an input of the dtype and on the device that the network takes.
        advance: called after each part with the number of samples done and that of all.
    """
    right = done = 0
    for x, y in zip(inputs.split(_BATCH), targets.split(_BATCH), strict=True):
        _, share = evaluate(network, x.to(like), y.to(like.device))
        right += round(share * len(y))
        done += len(y)
        advance(done, len(targets))
    return right / len(targets)

"""Parameters and floating-point operations of dense and Tucker-2 layers, and the time no kernel can go below.

A product and a sum count as two operations. C channels, r rank, k window.
"""

from collections.abc import Callable

__all__ = ["conv_flops", "largest_rank", "lower_bound", "tucker_conv_flops", "tucker_conv_parameters"]


def largest_rank(parameters: Callable[[int], int], budget: float) -> int:
    """The largest rank whose number of parameters is within a budget.

    Arguments:
        parameters: number of parameters at a rank, rising with the rank.
        budget: at least ``parameters(1)``.

    Returns:
        The rank, at least 1.
    """
    rank = 1
    while parameters(rank + 1) <= budget:
        rank += 1
    return rank


def tucker_conv_parameters(channels: int, rank: int, window: int = 3) -> int:
    """Parameters of a C x C convolution factorised in both channel modes at one rank."""
    return 2 * channels * rank + window**2 * rank**2


def conv_flops(channels: int, pixels: int, window: int = 3) -> int:
    """Operations of a dense C x C forward over the pixels of a batch."""
    return 2 * pixels * window**2 * channels**2


def tucker_conv_flops(channels: int, rank: int, pixels: int, window: int = 3) -> int:
    """Operations of the chain 1x1, window, 1x1 in the forward over the pixels of a batch."""
    return 2 * pixels * tucker_conv_parameters(channels, rank, window)


def lower_bound(flops: float, peak: float, passes: float, copy_seconds: float) -> float:
    """Seconds below which no implementation can stay: arithmetic at the peak, or reading and writing its data once.

    Arguments:
        flops: operations.
        peak: operations per second of the fastest kernel measured.
        passes: how often tensors of the size of input and output cross memory at least, one copy being one pass.
        copy_seconds: measured seconds of one copy from input to output.

    Returns:
        The larger of the two times.
    """
    return max(flops / peak, passes * copy_seconds)

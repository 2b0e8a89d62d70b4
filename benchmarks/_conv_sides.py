"""The sides of the comparison of convolutions, and their times at one point.

All compute the same function at the same ranks; what each of them is, benchmarks/conv.py says.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._comparison import Comparison, compare, forward_backward
from benchmarks._costs import conv_flops
from benchmarks._peers import tucker_conv
from rankfold import fold
from rankfold.layers import Conv2d

__all__ = ["chain", "chain_tensors", "layers", "peak_flops", "time_conv"]

LAST = torch.channels_last


def chain_tensors(layer: Conv2d) -> list[Tensor]:
    """Weights of the three plain convolutions with the values of a layer factorised in the channel modes."""
    outer, inner = layer.tucker.factors[:2]
    assert outer is not None
    assert inner is not None
    window = layer.tucker.core
    for mode, factor in enumerate(layer.tucker.factors[2:], 2):
        if factor is not None:
            window = torch.tensordot(window, factor, ([mode], [1])).movedim(-1, mode)
    weights = (inner.mT[:, :, None, None], window, outer[:, :, None, None])
    return [w.detach().clone(memory_format=LAST).requires_grad_() for w in weights]


def chain(weights: list[Tensor], x: Tensor) -> Tensor:
    """The chain 1x1, 3x3, 1x1."""
    return F.conv2d(F.conv2d(F.conv2d(x, weights[0]), weights[1], padding=1), weights[2])


def layers(channels: int, rank: int, modes: tuple[int, ...]) -> dict[str, nn.Module]:
    """The sides that are modules, all of the same function."""
    torch.manual_seed(0)
    ranks = (rank, rank, 3, 3)[: len(modes)]

    def factorized() -> Conv2d:
        return Conv2d(channels, channels, 3, padding=1, bias=False, rank=ranks, modes=modes)

    last, nchw = factorized().to(memory_format=LAST), factorized()
    nchw.load_state_dict(last.state_dict())
    dense = last.dense()
    return {
        "dense": dense.to(memory_format=LAST),
        "dense_nchw": last.dense(),
        "rankfold": last,
        "rankfold_nchw": nchw,
        "peer": tucker_conv(last.tucker),
    }


def time_conv(channels: int, size: int, batch: int, rank: int, *, train: bool, rounds: int) -> Comparison:
    """Time all sides at one point, after a check that they agree."""
    modules = layers(channels, rank, (0, 1) if train else (0, 1, 2, 3))
    x_last = torch.randn(batch, channels, size, size).to(memory_format=LAST)
    x_nchw = x_last.contiguous()
    weights = chain_tensors(modules["rankfold"])
    if not train:
        modules["folded"] = fold(modules["rankfold"].eval(), example_inputs=x_last)
    sides: dict[str, Callable[[], object]] = {}
    expected = modules["dense"](x_last)
    for name, module in modules.items():
        module.train(train)
        x = x_nchw if name in ("dense_nchw", "rankfold_nchw", "peer") else x_last
        # Both orders of summation lose digits in float32, over up to 9 * 512 terms.
        torch.testing.assert_close(
            module(x), expected, rtol=1e-3, atol=1e-3 * float(expected.detach().abs().max())
        )
        if train:
            sides[name] = forward_backward(module, list(module.parameters()), x)
        else:
            sides[name] = partial(module, x)
    plain = partial(chain, weights)
    sides["chain"] = forward_backward(plain, weights, x_last) if train else partial(plain, x_last)
    copy = torch.empty_like(x_last)
    sides["copy"] = lambda: copy.copy_(x_last)
    with torch.set_grad_enabled(train):
        return compare(sides, rounds=rounds)


def peak_flops() -> float:
    """Operations per second of the fastest of a few runs of a wide dense convolution."""
    channels, size, batch = 256, 16, 32
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=LAST)
    x = torch.randn(batch, channels, size, size).to(memory_format=LAST)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    best = float("inf")
    with torch.no_grad():
        for _ in range(8):
            started = clock()
            conv(x)
            best = min(best, clock() - started)
    return conv_flops(channels, batch * size**2) / best

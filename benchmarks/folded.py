"""Inference of every layer of the reference networks, factorised and folded, against the dense layer."""

from statistics import geometric_mean
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._comparison import Comparison, compare
from benchmarks._model_layers import LayerCase, layer_cases
from benchmarks._results import write_result
from benchmarks._setup import prepare, result_name
from rankfold import Fraction, fold
from rankfold.layers import Conv2d, FactorizedLayer, Linear

SHARES = (0.5, 0.25, 0.125)  # the last one in the full run only
BATCHES = (1, 64)
NOTE = (
    "eval, no_grad, the input shapes of the networks, the default memory layout; --full adds the share 0.125 and "
    "convolutions in channels_last. share is that of the full rank, rankfold.Fraction(share), with random values. "
    "folded is rankfold.fold with an example input of the same batch, which keeps what it measures to be fastest; form "
    "lists the layers it kept. Where it keeps the dense layer both sides are the same; their ratio is not a speed-up "
    "but the scatter of this measurement, and stands under control. A speed-up below 1 is measured again with three "
    "times the rounds, and the second figure counts. flop_ratio: operations of the dense layer by those of the "
    "smallest folded form, what the speed-up would be if operations were everything."
)


def operations(module: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one forward."""
    with FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops()


def parameters(module: nn.Module) -> int:
    """Elements of the weights, without biases."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


def form(module: nn.Module) -> str:
    """The plain layers of a folded one, by their window or name."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if len(layers) == 1:
        return "dense"
    return " ".join(
        "x".join(map(str, layer.kernel_size)) if isinstance(layer, nn.Conv2d) else "linear"
        for layer in layers
    )


def timed(dense: nn.Module, folded: nn.Module, x: Tensor, rounds: int) -> Comparison:
    """Times of both sides; once more, and longer, where folding seems to lose."""
    sides = {"dense": lambda: dense(x), "folded": lambda: folded(x)}
    result = compare(sides, rounds=rounds)
    return compare(sides, rounds=3 * rounds) if result.speedup("folded", "dense") < 1 else result


def factorized(module: nn.Module, share: float) -> FactorizedLayer:
    """A factorised layer with the options of a plain one and random values, which do not change its time."""
    bias, rank = module.bias is not None, Fraction(share)
    if isinstance(module, nn.Linear):
        return Linear(module.in_features, module.out_features, bias, rank=rank)
    assert isinstance(module, nn.Conv2d)
    options = {name: getattr(module, name) for name in Conv2d.dense_arguments}
    return Conv2d(**options, bias=bias, rank=rank)


@torch.no_grad()
def row(
    case: LayerCase, batch: int, share: float, layout: torch.memory_format, rounds: int
) -> dict[str, Any]:
    """One line of the table."""
    layer = factorized(case.module, share)
    model, dense = nn.Sequential(layer).eval(), nn.Sequential(layer.dense()).eval()
    x = torch.randn(batch, *case.input_shape)
    if layout is torch.channels_last:
        model, dense, x = (part.to(memory_format=layout) for part in (model, dense, x))
    smallest, folded = fold(model), fold(model, example_inputs=x)
    # Other orders of summation lose digits in float32.
    torch.testing.assert_close(folded(x), dense(x), rtol=1e-3, atol=1e-3 * float(dense(x).abs().max()))
    result = timed(dense, folded, x, rounds)
    flop_ratio, speedup = operations(dense, x) / operations(smallest, x), result.speedup("folded", "dense")
    kept, weight = form(folded), case.module.weight
    assert isinstance(weight, Tensor)
    return {
        "layer": case.name,
        "weight": "x".join(map(str, weight.shape)),
        "input": "x".join(map(str, case.input_shape)),
        "layout": "channels_last" if layout is torch.channels_last else "default",
        "batch": batch,
        "share": share,
        "compression": round(parameters(dense) / parameters(smallest), 2),
        "form": kept,
        **result.milliseconds("dense", "folded"),
        "flop_ratio": round(flop_ratio, 2),
        "speedup_over_dense": None if kept == "dense" else round(speedup, 3),
        "share_of_flop_ratio": None if kept == "dense" else round(speedup / flop_ratio, 3),
        "control": round(speedup, 3) if kept == "dense" else None,
    }


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The two goals of folding."""

    def wide(line: dict[str, Any]) -> bool:
        channels = [int(size) for size in line["weight"].split("x")][:2]
        return all(256 <= size <= 512 for size in channels) and 5 <= line["compression"] <= 10

    chains = [line for line in rows if line["form"] != "dense"]
    controls = [line["control"] for line in rows if line["form"] == "dense"]
    # A layer left dense reaches what it reaches: one over the FLOP ratio.
    shares = [line["share_of_flop_ratio"] or 1 / line["flop_ratio"] for line in rows if wide(line)]
    return {
        "folded never slower": {
            "measured": min(line["speedup_over_dense"] for line in chains),
            "target": "≥ 0.98",
            "unit": f"times as fast as dense, the worst of {len(chains)} chains; {len(controls)} layers stay dense "
            f"(control {min(controls, default=1)} to {max(controls, default=1)})",
        },
        "folded, 256 to 512 channels, 5x to 10x": {
            "measured": round(geometric_mean(shares), 3),
            "target": "≥ 0.70",
            "unit": f"of the FLOP ratio, geometric mean of {len(shares)} (least {round(min(shares), 3)})",
        },
    }


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per network, layout, batch and share; a layer that two networks have counts in the first."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in rows:
        key = (line["layer"].split()[0], line["layout"], line["batch"], line["share"])
        groups.setdefault(key, []).append(line)
    lines = []
    for key, group in groups.items():
        speedups = [line["speedup_over_dense"] or 1.0 for line in group]
        lines.append(
            {
                **dict(zip(("network", "layout", "batch", "share"), key, strict=True)),
                "layers": len(group),
                "left_dense": sum(line["form"] == "dense" for line in group),
                "speedup_least": min(speedups),
                "speedup_mean": round(geometric_mean(speedups), 3),
                "speedup_most": max(speedups),
                "flop_ratio_mean": round(geometric_mean(line["flop_ratio"] for line in group), 2),
            }
        )
    return lines


def main(full: bool = False, threads: int = 1) -> None:
    """Time all layers, print a line each, and write the result.

    Arguments:
        full: nine rounds instead of five, one more share, and convolutions in channels_last as well.
        threads: torch threads.
    """
    facts = prepare(threads)
    rounds, shares = (9, SHARES) if full else (5, SHARES[:2])
    rows = []
    for case in layer_cases():
        both = full and isinstance(case.module, nn.Conv2d)
        layouts = [torch.contiguous_format, *([torch.channels_last] if both else [])]
        for layout in layouts:
            for batch in BATCHES:
                lines = [row(case, batch, share, layout, rounds) for share in shares]
                rows += lines
                print(
                    case.name,
                    batch,
                    [line["speedup_over_dense"] or line["form"] for line in lines],
                    flush=True,
                )
    result = {
        "title": "Folded layers, inference",
        "note": NOTE,
        **facts,
        "rounds": rounds,
        "definitions": definitions(rows),
        "summary": summary(rows),
        "rows": rows,
    }
    print(result["definitions"])
    write_result(result_name("folded", threads), result)


if __name__ == "__main__":
    tyro.cli(main)

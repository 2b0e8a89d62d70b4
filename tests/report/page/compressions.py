"""Compressions for the tests, as plain data of any size."""

from math import exp
from shlex import quote

from rankfold.report import Costs
from rankfold.report.page import (
    BarChart,
    CompressedLayerRecord,
    CompressionRecord,
    Group,
    LineChart,
    ModeSpectrum,
    NetworkCosts,
    Text,
    compression_page,
)

SPECTRUM = 40


def compressed_layer(name="blocks.0.conv", *, dense=False, timed=True, **changes):
    """A 64x40 convolution of 3x3 at ranks 20 and 10, or left dense."""
    whole, less = Costs(23040, 2_000_000, 0.002), Costs(3720, 400_000, 0.0025)
    if not timed:
        whole, less = Costs(23040, None, None), Costs(3720, None, None)
    usual = {
        "name": name,
        "kind": "Conv2d",
        "shape": (64, 40, 3, 3),
        "modes": () if dense else (0, 1),
        "ranks": () if dense else (20, 10),
        "dense": whole,
        "now": whole if dense else less,
        "error": None if dense else 0.4,
        "weighted_error": None if dense else 0.05,
        "reason": "kept dense: it is small" if dense else None,
        "places": tuple(range(1, SPECTRUM + 1)) if timed else (),
        "spectra": tuple(
            ModeSpectrum(mode=mode, size=SPECTRUM, values=tuple(exp(-at / 9) for at in range(SPECTRUM)))
            for mode in (0, 1)
        )
        if timed
        else (),
    }
    return CompressedLayerRecord(**{**usual, **changes})


def compression_record(
    name="small",
    *,
    layers=3,
    accuracy=(0.95, 0.943),
    seconds=(0.010, 0.008),
    prefix="blocks",
    timed=True,
    settings=(),
    **changes,
):
    """A compression whose last layer was left dense; ``settings`` are those that differ."""
    found = [compressed_layer(f"{prefix}.{at}.conv", timed=timed) for at in range(layers - 1)]
    found.append(compressed_layer(f"{prefix}.{layers - 1}.linear", dense=True, timed=timed))
    usual_settings = {
        "weights": "net.safetensors",
        "model": "resnet20",
        "policy": "budget params=0.5",
        "calibrate": "cifar10",
        "finetune_epochs": 0,
        "output": f"{name}.safetensors",
        "export": None,
        "latency_batch": 64,
    }
    usual = {
        "name": name,
        "settings": {**usual_settings, **dict(settings)},
        "command": "rankfold compress net.safetensors --model resnet20 --policy 'budget params=0.5' "
        f"--calibrate cifar10 --output {quote(name)}.safetensors",
        "versions": {"rankfold": "1.0"},
        "layers": tuple(found),
        "before": NetworkCosts(
            parameters=100_000, flops=8_000_000, seconds=seconds[0], bytes=400_000, accuracy=accuracy[0]
        ),
        "after": NetworkCosts(
            parameters=50_000, flops=4_000_000, seconds=seconds[1], bytes=210_000, accuracy=accuracy[1]
        ),
        "samples": 500,
        "test_samples": 10_000,
        "output_change": 0.26,
        "place": "1 thread",
        "seconds": {"compression": 44.0, "in all": 75.0},
        "inputs": ("3x32x32",),
    }
    return CompressionRecord(**{**usual, **changes})


def page_of(*records):
    return compression_page(records, [quote(f"{record.name}.compression.json") for record in records])


def blocks(page, kind, title=None):
    """Blocks of a kind in a section or in all, unfolded."""

    def unfolded(found):
        for block in found:
            yield block
            if isinstance(block, Group):
                yield from unfolded(block.blocks)

    sections = [section for section in page.sections if title is None or section.title == title]
    return [block for section in sections for block in unfolded(section.blocks) if isinstance(block, kind)]


def charts(page):
    return {chart.title: chart for chart in blocks(page, BarChart | LineChart)}


def warnings_of(page):
    return [block.text for block in blocks(page, Text) if block.warning]

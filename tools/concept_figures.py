"""Draw the pictures of the pages on concepts, docs/concepts/*.svg; what is measured in them comes from benchmarks."""

import json
from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any

from tools._drawing import Drawing
from tools._integrator_figures import augmented_figure, fixed_figure, parallel_figure

__all__ = ["FIGURES", "drawings"]

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "concepts"


def matrix_figure() -> Drawing:
    """A matrix and its three parts, at the sizes of LeNet's widest layer, the rank drawn wider than it is."""
    drawing = Drawing(
        "A matrix of 500 by 800 as U (500 by 12) times S (12 by 12) times V transposed (12 by 800)", 170
    )
    drawing.text(66, 20, "800", "middle soft")
    drawing.box(10, 28, 112, 70, "blue faint")
    drawing.text(66, 67, "500 x 800", "middle")
    drawing.text(66, 114, "W", "middle bold")
    drawing.text(141, 67, "=", "middle")
    for x, width, height, size, name, colour in (
        (160, 14, 70, "12", "U", "blue"),
        (190, 14, 14, "12", "S", "green"),
        (220, 112, 14, "800", "Vᵀ", "blue"),
    ):
        drawing.text(x + width / 2, 20, size, "middle soft")
        drawing.box(x, 28, width, height, colour)
        drawing.text(x + width / 2, 28 + height + 16, name, "middle bold")
    drawing.text(10, 142, "500 x 800 = 400,000 numbers, or", "soft")
    drawing.text(10, 159, "500 x 12 + 12 x 12 + 12 x 800 = 15,744", "soft")
    return drawing


def convolution_figure() -> Drawing:
    """A convolution's weight as core and two factors, and the three layers that it folds to."""
    drawing = Drawing(
        "A convolution of 20 to 50 channels with a window of 5 by 5 becomes three: 20 to 9 channels, 9 to 13 with the "
        "window, 13 to 50",
        232,
    )
    drawing.text(10, 18, "outputs x inputs x window", "bold")
    drawing.box(10, 34, 106, 38, "blue faint")
    drawing.text(63, 57, "50 x 20 x 5 x 5", "middle")
    drawing.text(127, 57, "=", "middle")
    for x, width, words, below, colour in (
        (140, 18, "", "50 x 13", "blue"),
        (180, 106, "13 x 9 x 5 x 5", "core", "green faint"),
        (312, 18, "", "20 x 9", "blue"),
    ):
        drawing.box(x, 34, width, 38, colour)
        drawing.text(x + width / 2, 57, words, "middle")
        drawing.text(x + width / 2, 90, below, "middle soft")
    drawing.text(10, 128, "channels of the three layers that it folds to", "bold")
    stages = (("1 x 1", "20 → 9", "blue"), ("5 x 5", "9 → 13", "green"), ("1 x 1", "13 → 50", "blue"))
    for place, (window, channels, colour) in enumerate(stages):
        x = 10 + place * 116
        drawing.box(x, 142, 90, 46, f"{colour} faint")
        drawing.text(x + 45, 162, channels, "middle bold")
        drawing.text(x + 45, 179, window, "middle")
        if place < 2:
            drawing.path(f"M{x + 94} 165h16m-4 -4l4 4l-4 4", "axis")
    drawing.text(10, 216, "25,000 numbers, or 180 + 2,925 + 650 = 3,755", "soft")
    return drawing


def tolerance_figure() -> Drawing:
    """Measured singular values of one layer, trained dense and in low rank, with the cuts of two tolerances."""
    result = json.loads((ROOT / "benchmarks" / "results" / "weight_spectrum.json").read_text())
    dense, low = (result["networks"][name] for name in ("dense", "low rank"))
    left, right, top, bottom = 44, 348, 34, 196
    ends = log10(0.005), log10(0.5)

    def across(number: float) -> float:
        return left + (right - left) * log10(number) / log10(result["full_rank"])

    def up(value: float) -> float:
        return bottom + (top - bottom) * (log10(value) - ends[0]) / (ends[1] - ends[0])

    def line(values: list[float]) -> str:
        # Where points lie closer than half a pixel the next one is as good.
        points: list[tuple[float, float]] = []
        for number, value in enumerate(values, 1):
            if not points or number == len(values) or across(number) - points[-1][0] >= 0.5:
                points.append((across(number), up(value)))
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)

    drawing = Drawing(
        "Singular values of a layer: trained dense they fall slowly, in low rank there are 12", 254
    )
    drawing.text(8, 18, "singular values, relative to the norm", "soft")
    for value in (0.01, 0.1):
        drawing.path(f"M{left} {up(value):.1f}H{right}", "line")
        drawing.text(left - 5, up(value) + 4, f"{value:g}", "end soft")
    for number in (1, 10, 100, 500):
        drawing.text(across(number), bottom + 16, str(number), "end soft" if number == 500 else "middle soft")
    drawing.text((left + right) / 2, bottom + 32, "rank", "middle soft")
    drawing.path(f"M{left} {top}V{bottom}H{right}", "axis")
    kept = dense["ranks"]["0.14"]
    drawing.box(across(kept), top, right - across(kept), bottom - top, "blue faint")
    for tolerance, height in (("0.14", top + 12), ("0.5", bottom - 30)):
        rank = dense["ranks"][tolerance]
        drawing.path(f"M{across(rank):.1f} {top}V{bottom}", "stroke ink")
        drawing.text(across(rank) - 4, height, f"at {tolerance}", "end")
        drawing.text(across(rank) - 4, height + 15, f"{rank} stay", "end")
    drawing.path(line(dense["singular_values"]), "stroke blue")
    drawing.path(line(low["singular_values"]), "stroke orange")
    last = len(low["singular_values"])
    drawing.path(f"M{across(last):.1f} {up(low['singular_values'][-1]):.1f}V{bottom}", "stroke orange")
    drawing.box(left, bottom + 42, 10, 10, "blue")
    drawing.text(left + 16, bottom + 51, "trained dense")
    drawing.box(left + 120, bottom + 42, 10, 10, "orange")
    drawing.text(left + 136, bottom + 51, f"trained in low rank: {last}")
    return drawing


FIGURES: dict[str, Callable[[], Drawing]] = {
    "matrix": matrix_figure,
    "convolution": convolution_figure,
    "tolerance": tolerance_figure,
    "augmented": augmented_figure,
    "parallel": parallel_figure,
    "fixed": fixed_figure,
}


def drawings() -> dict[str, Any]:
    """The files by name."""
    return {f"{name}.svg": figure().svg() for name, figure in FIGURES.items()}


def main() -> None:
    """Write the files."""
    for name, text in drawings().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {(FOLDER / name).relative_to(ROOT)}")


if __name__ == "__main__":
    main()

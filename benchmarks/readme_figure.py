"""Draw docs/ranks.svg: the rank of LeNet's widest layer on digits, from three different starts."""

import json
import tempfile
from math import log10
from pathlib import Path
from typing import Any

from benchmarks._results import write_result
from benchmarks.digits_lenet import trained

STARTS = {1.0: "#1b6ca8", 0.5: "#c05621", 0.1: "#2f855a"}
LAST = 30 * 23  # steps of a run: 30 epochs of 1437 images in batches of 64
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 300, 60, 175, 34, 42


def position(step: int, rank: int, last: int) -> tuple[float, float]:
    """Pixel of a point; ranks from 1 to 500 on a logarithmic axis."""
    x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - log10(rank) / log10(500))
    return round(x, 1), round(y, 1)


def drawing(paths: dict[float, list[tuple[int, int]]], notes: dict[float, str]) -> str:
    """The figure as SVG."""
    last = max(step for path in paths.values() for step, _ in path)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">Rank of the 800 x 500 layer of LeNet while it trains on '
        "digits</text>",
    ]
    for rank in (1, 5, 10, 50, 100, 500):
        _, y = position(0, rank, last)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{rank}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">step</text>')
    for step in range(0, last + 1, 100):
        x, _ = position(step, 1, last)
        parts.append(f'<text x="{x}" y="{HEIGHT - 26}" text-anchor="middle">{step}</text>')
    lowest = HEIGHT
    for start, path in sorted(paths.items(), key=lambda item: item[1][-1][1]):
        points = " ".join("{},{}".format(*position(step, rank, last)) for step, rank in path)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{STARTS[start]}" stroke-width="2.5"/>')
        x, y = position(*path[-1], last)
        lowest = min(y + 4, lowest - 16)  # labels of lines that end close to each other must not overlap
        parts.append(f'<text x="{x + 8}" y="{lowest}" fill="{STARTS[start]}">{notes[start]}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Run ``rankfold train`` from each start, write the drawing and the numbers in it."""
    paths: dict[float, list[tuple[int, int]]] = {}
    notes: dict[float, str] = {}
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for start in STARTS:
            folder = Path(scratch) / str(start)
            run = trained(folder, "--rank", str(start), "--threads", "2")
            lines = [json.loads(line) for line in (folder / "ranks.jsonl").read_text().splitlines()]
            steps = [(line["step"], line["ranks"][0]) for line in lines if line["layer"] == "linear1"]
            paths[start] = [(0, round(start * 500)), *steps, (LAST, steps[-1][1])]
            notes[start] = f"rank {steps[-1][1]}, accuracy {run['accuracy']:.1f} %"
            runs[str(start)] = {**run, "linear1": paths[start]}
            print(f"start {start}: {notes[start]}")
    (Path(__file__).parent.parent / "docs" / "ranks.svg").write_text(drawing(paths, notes))
    write_result("readme_figure", {"runs": runs})


if __name__ == "__main__":
    main()

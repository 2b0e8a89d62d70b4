"""Write docs/performance.md from the results under benchmarks/results; no number in it is typed by hand.

A result belongs on the page if it has ``title``, ``note``, ``definitions`` and ``rows``. ``definitions`` are goals:
``{"B4": {"measured": 0.37, "target": "<= 0.40", "unit": "x dense step"}}``. ``rows`` are flat; ``summary``, if there,
stands on the page in their place. Rows in which a column that starts with ``speedup`` is below 1, or one that starts
with ``x_`` above 1, are listed where we lose.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._goals import GOALS, goal_number, reached
from rankfold.report import markdown_cell, markdown_table

__all__ = ["losses", "page", "read_results"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
SECTIONS = (
    "conv",
    "linear",
    "tt_linear",
    "folded",
    "step",
    "memory",
    "compile",
    "exactness",
    "import_time",
    "compress_resnet20",
    "compress_finetune_50",
    "compress_finetune_30",
    "compress_stories260k",
    "compress_silero_vad_16k",
    "decompose_success",
    "decompose_overfactored",
    "decompose_rank",
    "decompose_missing",
    "decompose_nonnegative",
    "decompose_real",
    "cp_collinear",
    "cp_sweep",
)
# Sides of a table that are not ours, by how their names begin.
OTHERS = (
    "dense",
    "published",
    "TensorLy",
    "torch",
    "tltorch",
    "pyttb",
    "tensorly-torch",
    "svd",
    "tucker",
    "whitened",
)

INTRODUCTION = """\
# Performance

Every number here was measured by a command of this repository and stands in a file under `benchmarks/results`;
`python -m benchmarks.performance_page` writes this page from those files. `make bench` repeats the short runs,
`make bench-full` the long ones.

All sides of a comparison run interleaved in one process, with the same number of threads and the same allocator
setting (`rankfold.tune_cpu_allocator`, except where memory is measured). Times are medians over the rounds; a ratio is
the median of the ratios of each round. With one thread the clock is CPU time, otherwise wall time."""

Results = dict[str, dict[str, Any]]


def read_results() -> Results:
    """All results that belong on the page, by name: the known sections first, then the others."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    fitting = {name: record for name, record in records.items() if {"title", "rows"} <= set(record)}
    names = [
        *(name for name in SECTIONS if name in fitting),
        *(name for name in fitting if name not in SECTIONS),
    ]
    return {name: fitting[name] for name in names}


def goals(results: Results) -> list[dict[str, Any]]:
    """One line per definition, by number; a goal without result says which command makes it."""
    lines = []
    for goal in GOALS:
        found = [
            (name, key, entry)
            for name, record in results.items()
            for key, entry in record.get("definitions", {}).items()
            if goal_number(key) == goal.number
        ]
        lines += [_goal_line(*definition, goal.subject) for definition in found]
        if not any(name in SECTIONS for name, _, _ in found):
            made = f"not measured yet: `python -m benchmarks.{goal.benchmark}`"
            lines.append(
                {
                    "goal": f"B{goal.number}",
                    "subject": goal.subject,
                    "measured": "no benchmark yet" if goal.benchmark is None else made,
                }
            )
    lines += [
        _goal_line(name, key, entry, "")
        for name, record in results.items()
        for key, entry in record.get("definitions", {}).items()
        if goal_number(key) is None
    ]
    return lines


def _goal_line(name: str, key: str, entry: dict[str, Any], subject: str) -> dict[str, Any]:
    met = reached(entry)
    target = str(entry["target"]).replace("<=", "≤").replace(">=", "≥")
    return {
        "goal": key,
        "subject": subject,
        "measured": entry["measured"],
        "target": target,
        "reached": None if met is None else "yes" if met else "**no**",
        "unit": entry["unit"],
        "result": name,
    }


def losses(results: Results) -> Iterator[dict[str, Any]]:
    """Every row in which one of our sides is slower than what it is compared with."""
    for name, record in results.items():
        for row in record["rows"]:
            keys = list(row)
            figures = [key for key in keys if key.startswith(("speedup", "x_"))]
            if any(
                isinstance(row.get(key), str) and row[key].startswith(OTHERS) for key in ("side", "module")
            ):
                continue
            times = [key for key in keys if key in figures or key == "ms" or key.endswith("_ms")]
            first = min((keys.index(key) for key in times), default=len(keys))
            what = ", ".join(f"{key} {markdown_cell(row[key])}" for key in keys[:first]).replace("_", " ")
            for key in figures:
                value = row[key]
                if value is not None and (value < 1 if key.startswith("speedup") else value > 1):
                    yield {"result": name, "row": what, "figure": key.replace("_", " "), "value": value}


def section(name: str, record: dict[str, Any]) -> str:
    """Title, note and table of one result."""
    rows = record.get("summary", record["rows"])
    threads = f", {record['threads']} threads" if name.endswith("threads") else ""
    parts = [f"## {record['title']}{threads}", record.get("note", ""), markdown_table(rows)]
    if "summary" in record:
        parts.append(f"The {len(record['rows'])} single rows are in `benchmarks/results/{name}.json`.")
    if record.get("means"):
        means = ", ".join(
            f"{key.replace('_', ' ')} {markdown_cell(value)}" for key, value in record["means"].items()
        )
        parts.append(f"Geometric means: {means}.")
    parts.append(f"Made by `{record['command']}`.")
    return "\n\n".join(part for part in parts if part)


def page(results: Results) -> str:
    """The whole page."""
    facts = ("command", "processor", "threads", "clock", "rounds", "torch", "python", "rankfold")
    machines = [
        {"result": name, **{fact: record.get(fact) for fact in facts}} for name, record in results.items()
    ]
    missed = [line for line in goals(results) if line.get("reached") == "**no**"]
    lost = list(losses(results))
    parts = [
        INTRODUCTION,
        "## Goals",
        "Numbers B1 to B12 are those of the design; a goal that is not reached is listed again under Where it loses.",
        markdown_table(goals(results)),
        "## Where it loses",
        "Goals that are not reached: " + (", ".join(line["goal"] for line in missed) or "none") + ".",
    ]
    if lost:
        parts += [
            f"The {len(lost)} figures in which one of our sides is slower than the other side:",
            markdown_table(lost),
        ]
    missing = [name for name in SECTIONS if name not in results]
    parts += [section(name, record) for name, record in results.items()]
    parts += [f"## {name}\n\nNot measured yet: `python -m benchmarks.{name}`." for name in missing]
    parts += ["## Runs", markdown_table(machines)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_results()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""Write docs/performance.md from the results under benchmarks/results; no number in it is typed by hand.

A result belongs on the page if it has ``title``, ``note``, ``definitions`` and ``rows``. ``definitions`` are goals:
``{"B4": {"measured": 0.37, "target": "<= 0.40", "unit": "x dense step"}}``. ``rows`` are flat; ``summary``, if there,
stands on the page in their place. Rows in which a column that starts with ``speedup`` is below 1, or one that starts
with ``x_`` above 1, are listed at the end of the section as those where we lose.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks._compared_figures import compared
from benchmarks._goals import GOALS, goal_number, reached
from rankfold.report import markdown_cell, markdown_table

__all__ = ["anchor", "page", "read_results"]

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
    "page_paint",
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
    "tucker",
)

INTRODUCTION = """\
# Performance

Every number here was measured by a command of this repository and stands in a file under `benchmarks/results`;
`python -m benchmarks.performance_page` writes this page from those files. `make bench` repeats the short runs,
`make bench-full` the long ones.

All sides of a comparison run interleaved in one process, with the same number of threads and the same allocator
setting (`rankfold.tune_cpu_allocator`, except where memory is measured). Times are medians over the rounds; a ratio is
the median of the ratios of each round. With one thread the clock is CPU time, otherwise wall time."""

OVERVIEW = """\
Each line is a section of this page: how many of its goals are reached, and in how many of the figures that set one of
our sides against another one ours is the slower. Read [the goals that are not reached](#goals-not-reached) before you
quote a number. What the figures mean for a network of yours: [compressing](compress.md) says when low rank gets faster,
[decomposing](decompose.md) which method serves when."""

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


def anchor(title: str) -> str:
    """The place of a heading, as GitHub and the site make it.

    Example:
        >>> anchor("Time of a training step, 2 threads")
        'time-of-a-training-step-2-threads'
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def heading(name: str, record: dict[str, Any]) -> str:
    """Title of the section of a result."""
    return record["title"] + (f", {record['threads']} threads" if name.endswith("threads") else "")


def link(name: str, record: dict[str, Any]) -> str:
    """A link to the section of a result, under the part of its title that says what it is about."""
    title = heading(name, record)
    return f"[{title.partition(';')[0]}](#{anchor(title)})"


def goals(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per goal of a result."""
    subjects = {goal.number: f", {goal.subject}" for goal in GOALS}
    return [
        {
            "goal": key + subjects.get(goal_number(key) or 0, ""),
            "measured": entry["measured"],
            "target": str(entry["target"]).replace("<=", "≤").replace(">=", "≥"),
            "reached": {True: "yes", False: "**no**", None: None}[reached(entry)],
            "unit": entry["unit"],
        }
        for key, entry in record.get("definitions", {}).items()
    ]


def overview(results: Results) -> list[dict[str, Any]]:
    """One line per section, with what is reached and what is lost in it."""
    lines = []
    for name, record in results.items():
        met = [line["reached"] for line in goals(record) if line["reached"]]
        figures = list(compared(record))
        lines.append(
            {
                "section": link(name, record),
                "goals_reached": f"{met.count('yes')} of {len(met)}" if met else None,
                "figures_lost": f"{sum(one.lost for one in figures)} of {len(figures)}" if figures else None,
            }
        )
    return lines


def section(name: str, record: dict[str, Any]) -> str:
    """Title, note, goals and table of one result, and where we lose in it."""
    rows = record.get("summary", record["rows"])
    parts = [f"## {heading(name, record)}", record.get("note", "")]
    parts += [markdown_table(goals(record))] if goals(record) else []
    parts.append(markdown_table(rows))
    if "summary" in record:
        parts.append(f"The {len(record['rows'])} single rows are in `benchmarks/results/{name}.json`.")
    if record.get("means"):
        means = ", ".join(
            f"{key.replace('_', ' ')} {markdown_cell(value)}" for key, value in record["means"].items()
        )
        parts.append(f"Geometric means: {means}.")
    lost = [one for one in compared(record) if one.lost]
    if lost:
        parts += [
            f"One of our sides is slower than the other one in {len(lost)} figures:",
            markdown_table([{"row": one.row, "figure": one.name, "value": one.value} for one in lost]),
        ]
    parts.append(f"Made by `{record['command']}`.")
    return "\n\n".join(part for part in parts if part)


def page(results: Results) -> str:
    """The whole page."""
    facts = ("command", "processor", "threads", "clock", "rounds", "torch", "python", "rankfold")
    machines = [
        {"result": name, **{fact: record.get(fact) for fact in facts}} for name, record in results.items()
    ]
    lines = [
        {**{key: value for key, value in line.items() if key != "reached"}, "section": link(name, record)}
        for name, record in results.items()
        for line in goals(record)
        if line["reached"] == "**no**"
    ]
    missing = [name for name in SECTIONS if name not in results]
    parts = [
        INTRODUCTION,
        "## What to read first",
        OVERVIEW,
        markdown_table(overview(results)),
        "## Goals not reached",
        "Numbers B1 to B12 are those of the design.",
        markdown_table(lines) if lines else "None.",
    ]
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

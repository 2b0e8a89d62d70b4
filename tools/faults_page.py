"""Write the last section of docs/faults.md from the results of benchmarks/faults; the text before it is left alone."""

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rankfold.report import markdown_table

__all__ = ["HEADING", "PAGE", "counted"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
HEADING = "## What was counted\n"

_Row = Mapping[str, Any]


def counted() -> str:
    """The section, from the results."""
    parts = [
        HEADING
        + "\n`python -m tools.faults_page` writes this section from the results of the commands that it names."
    ]
    for name, (title, cells) in _TABLES.items():
        file = ROOT / "benchmarks" / "results" / f"faults_{name}.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        note = textwrap.fill(record["note"], 120, break_long_words=False, break_on_hyphens=False)
        table = markdown_table([cells(row) for row in record["rows"]])
        parts.append(f"### {title}\n\n{note}\n\n`{record['command']}`\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _kills(row: _Row) -> _Row:
    return {
        "what": row["kind"],
        "kills": row["kills"],
        "in a write": row["in_a_write"],
        "before a checkpoint": row["before_a_checkpoint"],
        "damaged as well": row["damaged"],
        "processes": row["processes"],
        "runs completed": row["chains"],
        "losses": row["losses"],
    }


def _disk(row: _Row) -> _Row:
    return {
        "what": f"`{row['writer']}`",
        "pages of memory needed": row["pages"],
        "full": row["full"],
        "fits": row["fits"],
        "read-only": row["read_only"],
        "failures": row["failed"],
    }


def _elastic(row: _Row) -> _Row:
    return {
        "seed": row["seed"],
        "workers killed": row["kills"],
        "restarts": row["restarts"],
        "equal": "yes" if row["equal"] else "no",
    }


def _not_finite(row: _Row) -> _Row:
    return {"where": row["place"], "cases that hold": row["holds"], "others": row["fails"]}


def _soak(row: _Row) -> _Row:
    return {
        "integrator": f"`{row['integrator']}`",
        "core steps": row["core_steps"],
        "steps": f"{row['steps']:,}",
        "bytes a step": f"{row['bytes_per_step']:.2f}",
        "objects": row["objects_more"],
        "blocks": row["blocks_more"],
        "defect": f"{row['defect']:.1e}",
        "changes": row["changes"],
        "swings": row["swings"],
        "ranks": ", ".join("x".join(map(str, ranks)) for ranks in row["ranks"].values()),
    }


def _threshold(row: _Row) -> _Row:
    return {
        "integrator": f"`{row['integrator']}`",
        "core steps": row["core_steps"],
        "rate": row["rate"],
        "ratio": row["ratio"],
        "changes of 100 cycles": row["changes_of_100_cycles"],
        "swings": row["swings"],
        "share at rank 4": row["share_of_rank_4"],
    }


_TABLES: dict[str, tuple[str, Callable[[_Row], _Row]]] = {
    "kills": ("kill -9 at random moments", _kills),
    "elastic": ("A killed worker under torchrun", _elastic),
    "full_disk": ("Full and read-only disks", _disk),
    "not_finite": ("NaN and infinity in gradients", _not_finite),
    "soak": ("A hundred thousand steps", _soak),
    "threshold": ("A singular value at the threshold", _threshold),
}


def main() -> None:
    """Write the page."""
    text = PAGE.read_text(encoding="utf-8").partition(HEADING)[0].rstrip("\n")
    PAGE.write_text(f"{text}\n\n{counted()}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""The tables of docs/decompose_large.md, from the result of the benchmark."""

from typing import Any

from rankfold.report import markdown_table

__all__ = ["tables"]


def tables(record: dict[str, Any]) -> dict[str, str]:
    """What stands on the page in place of each word."""
    return {
        "CONSTANTS": markdown_table([record["constants"]]),
        "CHECKS": markdown_table(record["checks"]),
        "PLAN": markdown_table(record["plan"]),
        "MEMORY": f"{record['memory_mib']:.0f}",
    }

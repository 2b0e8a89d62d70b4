"""The headline of a decomposition, and what was found in a sentence."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from rankfold._display import duration, finite, shown_number
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Fact
from rankfold.report.page._decomposition_record import DecompositionRecord

__all__ = ["decomposition_facts", "found_sentence"]


def decomposition_facts(record: DecompositionRecord) -> Iterator[Fact]:
    """Error, rank, numbers, core consistency and time."""
    summary = record.summary
    where = " of the observed entries" if record.missing else ""
    yield Fact(
        name="relative error",
        value=shown_number(summary["relative_error"]),
        note=f"{where.strip()}, method {summary['method']}" if where else f"method {summary['method']}",
    )
    if "rank" in summary:
        found = "the best so far" if summary.get("interrupted") else "found"
        given = summary["settings"].get("rank", "auto") != "auto"
        yield Fact(
            name="rank",
            value=str(summary["rank"]),
            note=f"{'given' if given else found}; {summary['agreement']['sentence']}",
        )
    else:
        yield Fact(name="ranks", value=sizes(summary["ranks"]), note=_how_ranks_came(summary["settings"]))
    whole = prod(summary["shape"])
    yield Fact(
        name="numbers",
        value=f"{record.numbers:,}",
        twin=f"{whole:,} dense",
        note=f"{record.numbers / whole:.2%} of the tensor" if whole else "",
    )
    if summary.get("core_consistency") is not None:
        yield Fact(
            name="core consistency", value=f"{summary['core_consistency']:.1f} %", note="100 % is perfect"
        )
    yield Fact(name="time", value=duration(summary["seconds"]), note="reading and writing apart")


def _how_ranks_came(settings: Mapping[str, Any]) -> str:
    if settings.get("ranks"):
        return "given"
    bound = next((name for name in ("tolerance", "energy") if settings.get(name) is not None), None)
    return "found" if bound is None else f"found at {bound} {settings[bound]}"


def found_sentence(record: DecompositionRecord) -> str:
    """How many numbers tell how many entries to which error, and how many entries nobody knows."""
    summary, missing = record.summary, record.missing
    whole, error = prod(summary["shape"]), finite(summary["relative_error"])
    to = "an error that is no number" if error is None else f"a relative error of {shown_number(error)}"
    if not missing:
        return f"{record.numbers:,} numbers tell the {whole:,} of the tensor to {to}."
    judged = (
        " How well entries are predicted that no fit has seen is the evidence under “Where is the rank?”."
        if summary.get("rank_path")
        else ""
    )
    return (
        f"{record.numbers:,} numbers tell the {whole - missing:,} observed entries of the tensor to {to}, measured on "
        f"these; {missing:,} of its {whole:,} entries ({missing / whole:.1%}) are missing.{judged}"
    )

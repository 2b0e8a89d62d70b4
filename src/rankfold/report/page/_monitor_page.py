"""The page of what a monitor saw in anybody's loop, or of several such files side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rankfold.diagnostics import LayerState
from rankfold.report.page._blocks import Block, Items, Page, Section, Text
from rankfold.report.page._monitor_charts import monitor_blocks

__all__ = ["MonitorRecord", "monitor_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRecord:
    """One training.

    Arguments:
        name: what it is called on the page.
        states: of its layers, in the order of the steps.
    """

    name: str
    states: tuple[LayerState, ...]


def monitor_page(records: Sequence[MonitorRecord], paths: Sequence[str]) -> Page:
    """How the weights changed, and what that says about ranks.

    Arguments:
        records: at least one.
        paths: of their files as they would be typed.

    Returns:
        The page.
    """
    several = len(records) > 1
    return Page(
        title=f"{len(records)} trainings, layer by layer" if several else "A training, layer by layer",
        subtitle=", ".join(record.name for record in records),
        sections=(
            *(
                Section(
                    f"How did the weights of {record.name} change?"
                    if several
                    else "How did the weights change?",
                    tuple(_seen(record)),
                )
                for record in records
            ),
            Section("What to do next?", (Items(tuple(_next(records))),)),
        ),
    )


def _seen(record: MonitorRecord) -> Iterator[Block]:
    if not record.states:
        yield Text("No step was looked at.", warning=True)
    yield from monitor_blocks(record.states)


def _next(records: Sequence[MonitorRecord]) -> Iterator[str]:
    for record in records:
        last = [state for state in record.states if state.step == record.states[-1].step]
        ranks = ", ".join(f"{state.layer or 'the network'} {state.update_rank}" for state in last)
        if ranks:
            yield (
                f"{record.name}: ranks of adapters that could hold 99 % of what changed up to step {last[0].step:,}: "
                f"{ranks}."
            )
    yield (
        "rankfold.TDLRT finds the ranks of the weights themselves while it trains; its tolerance of 0.1 keeps 99 % of "
        "their squared norm at each truncation."
    )

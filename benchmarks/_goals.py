"""The goals B1 to B12 of the design, and what each is about."""

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["GOALS", "Goal", "goal_number", "reached"]


@dataclass(frozen=True)
class Goal:
    """One goal.

    Arguments:
        number: as in B1.
        subject: what is compared.
    """

    number: int
    subject: str


GOALS = (
    Goal(1, "convolution, forward and backward, batch 64"),
    Goal(2, "convolution, inference, batch 1"),
    Goal(3, "convolution, share of the FLOP ratio"),
    Goal(4, "TDLRT step"),
    Goal(5, "TDLRT step, exactness"),
    Goal(6, "TDLRT step beside fixed-rank training"),
    Goal(7, "TDLRT step of a multilayer perceptron"),
    Goal(8, "CP decomposition of collinear factors"),
    Goal(9, "CP decomposition, time of a sweep"),
    Goal(10, "Tucker decomposition, 200 x 200 x 200"),
    Goal(11, "import"),
    Goal(12, "graphs compiled after rank changes"),
)


def goal_number(name: str) -> int | None:
    """The number of the goal that a definition belongs to: 4 for ``B4 f=1/8``, None for another name."""
    match = re.match(r"B(\d+)\b", name)
    return int(match[1]) if match else None


def reached(entry: dict[str, Any]) -> bool | None:
    """Whether a definition meets its target, or None where the target is no bound.

    Arguments:
        entry: ``measured`` and ``target``, the latter as in ``>= 1.4`` or ``≤ 0.98``; a bare number is to be met.
    """
    match = re.match(r"(≤|<=|≥|>=|=)?\s*([-+\d.e]+)$", str(entry["target"]).strip())
    if match is None or isinstance(entry["measured"], str):
        return None
    bound = float(match[2])
    if match[1] in ("≤", "<="):
        return entry["measured"] <= bound
    return entry["measured"] >= bound if match[1] in ("≥", ">=") else entry["measured"] == bound

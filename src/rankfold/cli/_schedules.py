"""Schedules of the learning rate by name: pure functions of the share of the training that is done."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from rankfold._registry import Registry

__all__ = ["SCHEDULES", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Arguments:
        name: the name it is asked for by.
        factor: from the share done, 0 to 1, to the factor on the first learning rate.
        summary: what it is, in one line.
    """

    name: str
    factor: Callable[[float], float]
    summary: str


SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    Schedule(
        name="cosine",
        factor=lambda done: 0.5 * (1 + math.cos(math.pi * min(done, 1.0))),
        summary="half a cosine down to 0 (Loshchilov, Hutter 2017)",
    ),
    Schedule(name="constant", factor=lambda done: 1.0, summary="the same rate throughout"),
)

"""Checks of a claim, and the verdict they amount to."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rankfold.studies._records import NotPart, NotRun, Records

__all__ = ["Check", "Finding", "judge", "verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number of a claim and where it has to lie.

    Arguments:
        name: short, such as ``B2``; unique in the study.
        statement: what has to hold, in one line, with the tolerance in words where it is one.
        measure: takes the records, returns the number that is judged.
        least, most: bounds, both inclusive; None leaves that side open. One of them is needed.
    """

    name: str
    statement: str
    measure: Callable[[Records], float]
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a check.

    Arguments:
        name, statement, least, most: of the check.
        value: what was measured; None if it could not be, or is not finite.
        holds: whether it lies within the bounds; None if that is not decided.
        reason: why it is not decided, or why there is no value.
        part: whether this size of the study has the cases of the check; if not, it does not count.
    """

    name: str
    statement: str
    least: float | None
    most: float | None
    value: float | None
    holds: bool | None
    reason: str | None = None
    part: bool = True


def judge(checks: Sequence[Check], records: Records) -> list[Finding]:
    """Measure every check; one whose cases have not all been run is not decided.

    Arguments:
        checks: of a study.
        records: of a run of it.

    Returns:
        One finding per check.

    Example:
        >>> check = Check(name="one", statement="x is 1 within 0.1", measure=lambda r: r.where()[0]["x"],
        ...               least=0.9, most=1.1)
        >>> [finding.holds for finding in judge([check], Records([{"n": 1}], [{"n": 1, "x": 1.05}]))]
        [True]
    """
    return [_finding(check, records) for check in checks]


def _finding(check: Check, records: Records) -> Finding:
    value: float | None = None
    holds: bool | None = None
    reason: str | None = None
    part = True
    try:
        measured = float(check.measure(records))
    except NotRun as error:
        reason, part = str(error), not isinstance(error, NotPart)
    else:
        if math.isfinite(measured):
            value = measured
            above = check.least is None or measured >= check.least
            holds = above and (check.most is None or measured <= check.most)
        else:
            holds, reason = False, "the measured value is not finite"
    return Finding(
        name=check.name,
        statement=check.statement,
        least=check.least,
        most=check.most,
        value=value,
        holds=holds,
        reason=reason,
        part=part,
    )


def verdict(findings: Sequence[Finding]) -> str:
    """The verdict in words: holds, holds in part, does not hold, not decided.

    Arguments:
        findings: of all checks.

    Returns:
        One of the four; the last where no check failed and one is not decided. Checks that are not part of this size
        do not count.

    Example:
        >>> verdict([])
        'not decided'
    """
    outcomes = {finding.holds for finding in findings if finding.part}
    if False in outcomes:
        return "holds in part" if True in outcomes else "does not hold"
    return "holds" if outcomes == {True} else "not decided"

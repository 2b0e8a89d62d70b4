"""What the cases of a study gave, and which of them have not been run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rankfold._errors import RankfoldError

__all__ = ["Case", "NotPart", "NotRun", "Record", "Records", "Unavailable"]

Case = Mapping[str, Any]
Record = dict[str, Any]


class Unavailable(RankfoldError, RuntimeError):  # noqa: N818 - nothing went wrong
    """A case needs something that this machine does not have, such as a GPU."""


class NotRun(RankfoldError, LookupError):  # noqa: N818 - nothing went wrong
    """A check asks for cases that have not been run."""


class NotPart(NotRun):
    """A check asks for cases that this size of the study does not have."""


@dataclass(frozen=True)
class Records:
    """The records of a run beside all cases it should have.

    Arguments:
        cases: all cases of the run, plain values by name.
        rows: one record per case that was run, in any order: the values of the case and what was measured.

    Example:
        >>> cases = [{"m": 1, "seed": 0}, {"m": 2, "seed": 0}]
        >>> records = Records(cases, [{"m": 1, "seed": 0, "loss": 0.5}])
        >>> [row["loss"] for row in records.where(m=1)]
        [0.5]
        >>> records.found(m=2)
        []
    """

    cases: Sequence[Case]
    rows: Sequence[Record]

    def where(self, choose: Callable[[Case], bool] | None = None, /, **values: Any) -> list[Record]:
        """The records of all cases with these values; for checks, which judge nothing that is not there.

        Arguments:
            choose: takes a case, says whether it is meant; None means every case.
            **values: what the case has under these names.

        Returns:
            At least one record, in the order of the cases.

        Raises:
            NotPart: the run has no such case.
            NotRun: one of them has no record yet.
        """
        wanted = [case for case in self.cases if _fits(case, choose, values)]
        if not wanted:
            raise NotPart("not part of this size")
        found = [self._row(case) for case in wanted]
        rows = [row for row in found if row is not None]
        if len(rows) < len(wanted):
            raise NotRun(f"{len(wanted) - len(rows)} of {len(wanted)} cases have not been run")
        return rows

    def found(self, choose: Callable[[Case], bool] | None = None, /, **values: Any) -> list[Record]:
        """The records that are there of cases with these values; for tables and figures, which may be partial."""
        rows = (self._row(case) for case in self.cases if _fits(case, choose, values))
        return [row for row in rows if row is not None]

    @property
    def missing(self) -> list[Case]:
        """The cases without a record."""
        return [case for case in self.cases if self._row(case) is None]

    def _row(self, case: Case) -> Record | None:
        names = tuple(case)
        if names not in self._indices:
            index = self._indices.setdefault(names, {})
            for row in self.rows:
                if all(name in row for name in names):
                    index.setdefault(_key(row, names), row)
        return self._indices[names].get(_key(case, names))

    @cached_property
    def _indices(self) -> dict[tuple[str, ...], dict[str, Record]]:
        return {}


def _key(values: Mapping[str, Any], names: tuple[str, ...]) -> str:
    # As text, so that a tuple and the list that is read back from a file are the same.
    return json.dumps([values[name] for name in names])


def _fits(case: Case, choose: Callable[[Case], bool] | None, values: Mapping[str, Any]) -> bool:
    named = all(name in case and case[name] == value for name, value in values.items())
    return named and (choose is None or choose(case))

"""The trace of a run, and the way a callback stops it."""

import time
from collections.abc import Callable

from rankfold._collectives import Workers
from rankfold._errors import OptionError
from rankfold.decompose._result import TracePoint
from rankfold.decompose._together import any_of

__all__ = ["Callback", "Recorder"]

Callback = Callable[[TracePoint], bool | None]


class Recorder:
    """Keep trace points and tell the callback; it stops the run by returning True.

    Arguments:
        callback: called with every :class:`TracePoint`, or None.
        workers: who runs; all of them stop as soon as the callback of one says so.

    Raises:
        OptionError: a callback that cannot be called.
    """

    def __init__(self, callback: Callback | None = None, workers: Workers = Workers()) -> None:  # noqa: B008
        if callback is not None and not callable(callback):
            raise OptionError(f"callback must be a function or None, got {callback!r}; pass one of these.")
        self.points: list[TracePoint] = []
        self.stopped = False
        self.lost = 0.0  # relative error that compression made before the solvers saw the data
        self._callback, self._workers = callback, workers
        self._told = any_of(
            workers, lambda: callback is not None
        )  # otherwise no worker has to ask the others
        self._started = time.perf_counter()

    def note(self, method: str, relative_error: float, rank: int) -> bool:
        """Add a point.

        Arguments:
            method: what is working.
            relative_error: of the data that it sees.
            rank: number of components.

        Returns:
            Whether the run is to stop here and return what it has.
        """
        error = (relative_error**2 * (1 - self.lost**2) + self.lost**2) ** 0.5
        point = TracePoint(time.perf_counter() - self._started, error, method, rank)
        self.points.append(point)
        if self._told and not self.stopped:
            self.stopped = any_of(
                self._workers, lambda: self._callback is not None and self._callback(point) is True
            )
        return self.stopped

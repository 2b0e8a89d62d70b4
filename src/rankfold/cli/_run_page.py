"""The page of a training run, while it goes on and when it has ended."""

import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from rankfold._checkpoint._words import brief
from rankfold._errors import RankfoldError
from rankfold.cli._report import PAGE, leave_page
from rankfold.cli._report_training import read_training
from rankfold.cli._training_run import TrainingRun
from rankfold.report.page import Live, training_page, write_page

__all__ = ["RunPage"]

# Choices of this library.
_LEAST = 2.0  # seconds between two pages, and between two looks at one
_SHARE = 20  # a page that took a second to make is followed by so many seconds without one
_MOST = 30.0  # seconds after which a browser looks again, however long epochs take


class RunPage:
    """Keeps ``report.html`` in the folder of a run; a page that cannot be made ends no training, and is told once.

    Arguments:
        run: the run.
        tell: called with a sentence where there is no page.
        clock: gives seconds.
    """

    def __init__(
        self, run: TrainingRun, tell: Callable[[str], object], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._run, self._tell, self._clock = run, tell, clock
        self._last, self._next, self._told = clock(), 0.0, False

    def refresh(self) -> None:
        """Write how far the training is, unless the last page is too recent for what it takes to make one."""
        started = self._clock()
        if started < self._next:
            return
        seconds = round(min(max(started - self._last, _LEAST), _MOST), 1)
        self._attempt(lambda: self._write_live(seconds))
        ended = self._clock()
        self._last, self._next = started, ended + max(_LEAST, _SHARE * (ended - started))

    def finish(self) -> None:
        """Write what is left of a run that has ended, well or not; Ctrl-C does without."""
        path = self._run.folder.path
        with suppress(KeyboardInterrupt):
            self._attempt(lambda: leave_page(path, path))

    def _write_live(self, seconds: float) -> str | None:
        folder, progress, epochs = self._run.folder, self._run.progress, self._run.config.epochs
        record = read_training(folder.path, folder.path.resolve().name)
        now = datetime.now().isoformat(" ", "seconds")
        state = f"training, epoch {min(progress.epoch + 1, epochs)} of {epochs}, updated at {now}"
        page = training_page([record], [shlex.quote(str(folder.path))], Live(state, seconds))
        return write_page(page, folder.path / PAGE)

    def _attempt(self, write: Callable[[], str | None]) -> None:
        try:
            problem = write()
        except RankfoldError as error:
            problem = f"no page: {error}"
        except Exception as error:
            problem = f"no page: {type(error).__name__}: {brief(error)}."
        if problem is not None and not self._told:
            self._told = True
            self._tell(problem)

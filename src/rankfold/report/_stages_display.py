"""The live display of work in stages."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["StagesDisplay"]


class StagesDisplay:
    """Shows the stage that is under way and wipes it off afterwards; on anything but a terminal it shows nothing.

    Arguments:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._stage, self._task = "", TaskID(0)

    def show(self, stage: str, done: int = 0, total: int | None = None) -> None:
        """Show how far a stage is; another one takes its place.

        Arguments:
            stage: in words.
            done: steps completed.
            total: all steps, or None where it is not known.
        """
        if stage != self._stage:
            if self._stage:
                self._progress.remove_task(self._task)
            self._stage, self._task = stage, self._progress.add_task(stage, total=total)
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

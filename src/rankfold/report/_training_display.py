"""The live display of a training run."""

from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from rankfold.report._training_view import TrainingStatus, training_view

__all__ = ["TrainingDisplay"]

_REFRESHES_PER_SECOND = 4  # enough for the eye, and too few to cost training time


class TrainingDisplay:
    """Shows a status while the block runs and wipes it off afterwards; on anything but a terminal it shows nothing.

    Arguments:
        console: where to.
        status: what to show first.
    """

    def __init__(self, console: Console, status: TrainingStatus) -> None:
        self.status = status
        self._live = (
            Live(
                get_renderable=self._render,
                console=console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            )
            if console.is_terminal
            else None
        )

    def update(self, **changes: object) -> None:
        """Replace fields of the status; the display follows at its next refresh."""
        self.status = replace(self.status, **changes)  # pyright: ignore[reportArgumentType]

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _render(self) -> RenderableType:
        return training_view(self.status)

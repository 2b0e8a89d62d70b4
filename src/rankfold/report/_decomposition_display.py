"""The live display of a decomposition."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from rankfold.decompose import TracePoint

__all__ = ["DecompositionDisplay", "trace_line"]

_REFRESHES_PER_SECOND = 4  # enough for the eye, and too few to cost time


class DecompositionDisplay:
    """Shows the latest point while the block runs and wipes it off afterwards; nothing on anything but a terminal.

    Arguments:
        console: where to.
        stopping: whether someone has asked to stop, which the solver learns only at its next point.
    """

    def __init__(self, console: Console, stopping: Callable[[], bool]) -> None:
        self._point: TracePoint | None = None
        self._stopping = stopping
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

    def update(self, point: TracePoint) -> None:
        """Show another point at the next refresh."""
        self._point = point

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
        line = "decomposing" if self._point is None else trace_line(self._point)
        return Text(f"{line}   stopping; again to leave at once" if self._stopping() else line)


def trace_line(point: TracePoint) -> str:
    """Method, rank, error and time.

    Example:
        >>> trace_line(TracePoint(seconds=2.5, relative_error=0.0123456, method="als", rank=3))
        'als   rank 3   relative error 0.01235   2.5 s'
    """
    return f"{point.method}   rank {point.rank}   relative error {point.relative_error:.4g}   {point.seconds:.1f} s"

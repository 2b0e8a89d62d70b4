"""Ctrl-C and SIGTERM: how a command ends that someone asked to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rankfold.training import StopRequest

__all__ = ["Interrupted", "Terminated", "abort_on_termination", "code_of_abort", "code_of_stop"]

# What shells give a program ended by SIGINT or SIGTERM.
_INTERRUPTED, _TERMINATED = 130, 143


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A command was stopped on request; the text says what is written and how to go on.

    Arguments:
        text: one sentence.
        code: the exit code.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it ends a command at once."""


def code_of_stop(stop: StopRequest) -> int:
    """The exit code where everything was saved: 0 after SIGTERM, for a scheduler takes others for a failure."""
    return 0 if stop.number == signal.SIGTERM else _INTERRUPTED


def code_of_abort(interrupt: KeyboardInterrupt, *, kept: bool = False) -> int:
    """The exit code where the work was cut off.

    Arguments:
        interrupt: by which.
        kept: whether what was done so far is written, and the same command goes on.
    """
    if not isinstance(interrupt, Terminated):
        return _INTERRUPTED
    return 0 if kept else _TERMINATED


@contextmanager
def abort_on_termination() -> Iterator[None]:
    """Inside the block SIGTERM raises Terminated, as SIGINT raises KeyboardInterrupt, so that temporary files go."""

    def abort(number: int, frame: FrameType | None) -> None:
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # schedulers may send it twice; once is enough to clean up
        raise Terminated

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, abort) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)

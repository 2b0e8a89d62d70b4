"""Ctrl-C between two batches, or at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "StopRequest", "abort_on_signal", "stop_on_signal"]


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A run was stopped on request and its checkpoint is written; the text says how to go on."""


class StopRequest:
    """Whether someone has asked the run to stop."""

    requested = False


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Inside the block the first SIGINT or SIGTERM is only noted; the second raises KeyboardInterrupt at once."""
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt
        request.requested = True

    # Python lets only the main thread handle signals; elsewhere nobody can ask to stop.
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM) if in_main}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def abort_on_signal() -> Iterator[None]:
    """Inside the block SIGTERM raises KeyboardInterrupt, as SIGINT does, so that temporary files are removed."""

    def abort(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, abort) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)

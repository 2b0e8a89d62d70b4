"""Stop a loop between two steps when a scheduler or a person asks for it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import torch

from rankfold._collectives import workers_of

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["StopRequest", "stop_on_signal"]


class StopRequest:
    """Whether someone has asked to stop: ``requested`` so far, by the signal of this ``number``, which may be None."""

    def __init__(self) -> None:
        self.requested = False
        self.number: int | None = None

    def anywhere(self, device: torch.device | str = "cpu", *, group: "ProcessGroup | None" = None) -> bool:
        """Whether any worker was asked; every worker calls it at the same steps, and all stop at the same one.

        Arguments:
            device: one that the backend sends from, such as ``cuda`` for nccl.
            group: the process group; None means the default one, or none, and then this is ``requested``.
        """
        return workers_of(group).any(self.requested, device)

    @contextmanager
    def listen(self, *numbers: int) -> Iterator[None]:
        """Inside the block these signals are only noted; a second SIGINT raises KeyboardInterrupt at once."""

        def note(number: int, frame: FrameType | None) -> None:
            # Schedulers send SIGTERM twice, to a process and to its group, and kill whoever takes too long.
            if self.requested and number == signal.SIGINT:
                raise KeyboardInterrupt
            if not self.requested:
                self.requested, self.number = True, number

        # Python lets only the main thread handle signals; elsewhere nobody can ask to stop.
        in_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, note) for number in numbers if in_main}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def stop_on_signal(*numbers: int) -> Iterator[StopRequest]:
    """Inside the block a signal that asks to stop is noted instead of ending the process.

    A loop looks at ``requested`` after each step, saves, and ends. Only in the main thread; in others signals are left
    alone. A second SIGTERM changes nothing, a second SIGINT raises KeyboardInterrupt at once.

    Arguments:
        numbers: the signals; none means SIGTERM, with which schedulers end a job.

    Returns:
        A context manager that gives a :class:`StopRequest`.

    Example:
        >>> import signal
        >>> with stop_on_signal() as stop:
        ...     for step in range(10):
        ...         if step == 3:
        ...             signal.raise_signal(signal.SIGTERM)  # a scheduler does this
        ...         if stop.requested:
        ...             break
        >>> step
        3
    """
    request = StopRequest()
    with request.listen(*(numbers or (signal.SIGTERM,))):
        yield request

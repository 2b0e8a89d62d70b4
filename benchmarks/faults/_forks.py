"""Children of a process that has imported torch already, so that each starts in milliseconds, and their end."""

import contextlib
import io
import os
import signal
import time
from collections.abc import Callable

__all__ = ["Ending", "run_and_kill"]


class Ending:
    """How a child ended.

    Arguments:
        killed: whether by us.
        code: its exit code where it ended by itself.
        said: what it wrote to stdout and stderr, if it ended by itself.
    """

    def __init__(self, killed: bool, code: int, said: str) -> None:
        self.killed, self.code, self.said = killed, code, said


def run_and_kill(act: Callable[[], int], after: float | None, started: Callable[[], bool]) -> Ending:
    """Fork, act in the child, and send it SIGKILL so many seconds after it has started to work.

    Arguments:
        act: gives the exit code; runs in the child only.
        after: seconds, or None to let it end by itself.
        started: whether the child is at work; the clock starts then.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(act, writer)
    os.close(writer)
    killed = False
    if after is not None:
        while not (ended := _has_ended(child)) and not started():
            time.sleep(0.0005)
        deadline = time.perf_counter() + after
        while not ended and time.perf_counter() < deadline:
            time.sleep(0.0002)
            ended = _has_ended(child)
        if not ended:
            os.kill(child, signal.SIGKILL)
    said = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Ending(killed, -1 if killed else os.waitstatus_to_exitcode(status), said.decode())


def _has_ended(child: int) -> bool:
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None and found.si_pid == child


def _child(act: Callable[[], int], writer: int) -> None:
    code, text = 70, io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            code = act()
    except BaseException as error:
        text.write(f"{type(error).__name__}: {error}")
    finally:
        os.write(writer, text.getvalue()[-60_000:].encode())
        os._exit(code)

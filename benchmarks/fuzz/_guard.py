"""One input, read under limits: what came of it."""

import contextlib
import resource
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.fuzz._reader import Reader
from rankfold import RankfoldError
from rankfold._display import one_line

__all__ = ["Finding", "limited_memory", "outcome"]

#: Seconds of the processor that one input may take, and seconds in which it may wait for something.
SECONDS, WAIT = 10, 120
#: Bytes of address space beyond those in use, and of memory that one input may take.
ADDRESSES, MEMORY = 768 << 20, 96 << 20
_TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, WAIT))
_LONGEST = 2100  # letters of a sentence


class Hang(BaseException):
    """The time is over."""


class Finding(Exception):  # noqa: N818 - it is no error of the harness
    """What must not happen."""

    @property
    def what(self) -> str:
        """In words."""
        return str(self)


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """Address space of this process bounded to little more than it has; Linux only, elsewhere nothing."""
    size = _status("VmSize")
    if size is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESSES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def outcome(reader: Reader, folder: Path) -> str:
    """Read the input that lies in a folder.

    Returns:
        ``accepted``, or the name of the error class.

    Raises:
        Finding: neither a value nor a sentence of ours, or at too great a cost.
    """
    before = sorted(path.name for path in folder.iterdir())
    used = _reset_peak()
    result = _read(reader, folder)
    after = _status("VmHWM")
    if after is not None and used is not None and after - used > MEMORY:
        raise Finding(f"took {(after - used) >> 20} MiB")
    if sorted(path.name for path in folder.iterdir()) != before:
        raise Finding("wrote a file")
    return result


def _read(reader: Reader, folder: Path) -> str:
    for timer, number, seconds in _TIMERS:
        signal.signal(number, _over)
        signal.setitimer(timer, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.read(folder)
    except RankfoldError as error:
        _check_sentence(error)
        return type(error).__name__
    except Hang:
        raise Finding(f"took more than {SECONDS} seconds") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Finding(f"{type(error).__name__}: {str(error)[:200]!r}") from error
    finally:
        for timer, *_ in _TIMERS:
            signal.setitimer(timer, 0)
    return "accepted"


def _over(*_: Any) -> None:
    raise Hang


def _check_sentence(error: RankfoldError) -> None:
    sentence = str(error)
    if sentence != one_line(sentence):
        raise Finding(f"a sentence with letters that a terminal obeys: {sentence[:200]!r}") from error
    if not sentence.endswith(".") or len(sentence) > _LONGEST:
        raise Finding(
            f"no sentence, {len(sentence)} letters: {sentence[:300]!r} ... {sentence[-100:]!r}"
        ) from error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "can't allocate memory" in str(cause):
            raise Finding(f"refused only when memory was short: {str(cause)[:200]!r}") from error
        cause = cause.__cause__ or cause.__context__


def _status(name: str) -> int | None:
    """Bytes in a line of /proc/self/status."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), None)


def _reset_peak() -> int | None:
    """Make the peak the memory in use now, and return that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmHWM")

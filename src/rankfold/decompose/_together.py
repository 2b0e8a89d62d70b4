"""What one worker finds out, all of them know: failures, disagreements, and where a random sequence starts.

Everything here is called by all workers alike, so that none of them waits for one that has given up.
"""

import zlib
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from rankfold import _errors
from rankfold._collectives import Workers
from rankfold._errors import OptionError, RankfoldError

__all__ = ["agree_on", "any_of", "digest", "gathered", "same_generator", "together"]

T = TypeVar("T")

# Bytes of a sentence that travel to the other workers.
_SENTENCE = 2048


def gathered(workers: Workers, *numbers: float) -> Tensor:
    """What each worker says: ``(workers, numbers)`` in float64, the same everywhere."""
    table = torch.zeros(workers.count, len(numbers), dtype=torch.float64)
    table[workers.rank] = torch.tensor(numbers, dtype=torch.float64)
    workers.add_([table])
    return table


def together(workers: Workers, work: Callable[[], T], known: Iterable[Tensor] = ()) -> T:
    """Do something on every worker; where it fails on one, it fails on all, with the sentence of the first.

    Arguments:
        workers: who works.
        work: without collectives of its own.
        known: what the work depends on and all workers should hold alike: if they do not, their ways would part
            later, and each would wait for the other.

    Returns:
        What the work gives here.

    Raises:
        RankfoldError: of the kind that was raised there; where that is none of ours, with its text.
        OptionError: workers hold different numbers.
    """
    if workers.group is None:
        return work()
    result, problem = _tried(work)
    table = gathered(workers, problem is not None, _checksum(known))
    _raise_shared(workers, table[:, 0], problem)
    if bool((table[:, 1] != table[0, 1]).any()):
        raise OptionError(
            "Sharded: the workers have come to different factors; run all of them on processors of one kind with the "
            "same version of PyTorch, the same threads and the same arguments."
        )
    return result  # pyright: ignore[reportReturnType]


def any_of(workers: Workers, question: Callable[[], bool]) -> bool:
    """Whether the answer is yes on any worker; failures are those of all, as in :func:`together`."""
    if workers.group is None:
        return question()
    answer, problem = _tried(question)
    table = gathered(workers, problem is not None, bool(answer))
    _raise_shared(workers, table[:, 0], problem)
    return bool(table[:, 1].any())


def agree_on(workers: Workers, text: str, sentence: str) -> None:
    """Refuse to go on where workers differ.

    Arguments:
        workers: who works.
        text: what all of them should have in common.
        sentence: what to say if they do not.

    Raises:
        OptionError: they do not.
    """
    if not workers.alike(text):
        raise OptionError(sentence)


def digest(tensors: Iterable[Tensor]) -> str:
    """A short text that differs where bits do."""
    return f"{_checksum(tensors):08x}"


def same_generator(where: str, workers: Workers, generator: torch.Generator, given: bool) -> torch.Generator:
    """A generator that draws the same on all workers.

    Arguments:
        where: the caller's name, for the message.
        workers: who works.
        generator: of this worker.
        given: whether the user chose it; otherwise the first worker draws a seed for all.

    Raises:
        OptionError: the generators that were given are in different states.
    """
    if workers.group is None:
        return generator
    if given:
        sentence = (
            f"{where}: the generators of the workers are in different states; pass the same seed on all of them, or "
            "None."
        )
        agree_on(workers, digest([generator.get_state()]), sentence)
        return generator
    seed = torch.randint(2**62, (1,), generator=generator)
    workers.broadcast_([seed])
    return torch.Generator().manual_seed(int(seed))


def _checksum(tensors: Iterable[Tensor]) -> int:
    """Of 32 bits, so that it is exact in float64."""
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), checksum)
    return checksum


def _tried(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _raise_shared(workers: Workers, failed: Tensor, problem: Exception | None) -> None:
    """Raise the error of the first worker that failed, on all of them."""
    if not bool(failed.any()):
        return
    first = int(failed.argmax())
    text = torch.zeros(_SENTENCE, dtype=torch.uint8)
    if workers.rank == first:
        kind = type(problem).__name__
        said = str(problem) if isinstance(problem, RankfoldError) else f"worker {first}: {kind}: {problem}"
        # A character that is cut in two at the end is left out again below.
        raw = f"{kind}\n{said}".encode("utf-8", "replace")[:_SENTENCE]
        text[: len(raw)] = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    workers.add_([text])
    kind, _, sentence = bytes(text.tolist()).rstrip(b"\0").decode("utf-8", "ignore").partition("\n")
    raised = getattr(_errors, kind) if kind in _errors.__all__ else RankfoldError
    raise raised(sentence) from problem

"""Memory that a decomposition needs, counted before it starts."""

import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch

from rankfold._errors import OptionError

__all__ = ["UNKNOWN_RANK", "available_bytes", "check_memory", "required_bytes", "shown_bytes"]

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of the container, version 2
# Choice of this library: components that a search for the rank is counted with.
UNKNOWN_RANK = 32
_INDEX_BYTES = 8  # of an int64
_SPECTRUM_BYTES = 8  # of a float64
# Tensors of the size of the data that exist at once beside them, as tests/decompose/test_memory.py measures.
_COPIES = {"cp": 2, "tucker": 1, "tt": 3}
_COPIES_WITH_GAPS = {"cp": 5, "tucker": 11, "tt": 0}
# A Gram matrix, its eigenvectors and what the eigenvalue solver works in.
_GRAMS = 6
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def required_bytes(
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    format: str = "cp",
    ranks: int | Sequence[int] | None = None,
    stored: int | None = None,
    masked: bool = False,
) -> int:
    """Memory that a decomposition takes beside its input, roughly and rather too much than too little.

    Arguments:
        shape: (n_1, ..., n_d).
        dtype: float32 or float64.
        format: ``'cp'``, ``'tucker'`` or ``'tt'``.
        ranks: components of CP, or multilinear or TT ranks; None where they are to be found.
        stored: given entries of a sparse tensor, None for a dense one.
        masked: whether only some entries are observed.

    Returns:
        Bytes: copies of the data, the largest partial product, spectra of the unfoldings, and factors.

    Example:
        >>> import torch
        >>> required_bytes((100, 100, 100), torch.float64, ranks=5) // 2**20
        16
    """
    size, order, entries = dtype.itemsize, len(shape), prod(shape)
    rank = UNKNOWN_RANK if ranks is None else max([ranks] if isinstance(ranks, int) else ranks)
    # Factors, gradients and the starts that are kept; eight of them is a choice of this library.
    factors = 8 * rank * sum(shape) * size if format == "cp" else 0
    if stored is not None:
        return stored * (_INDEX_BYTES * order + size * (2 + 2 * rank)) + factors
    # The dimension tree contracts the first or the last mode first; with gaps for all pairs of components.
    columns = rank * (rank + 1) // 2 if masked else rank
    partial = columns * entries // min(shape[0], shape[-1]) if format == "cp" else 0
    copies = _COPIES[format] + (_COPIES_WITH_GAPS[format] if masked else 0)
    # One of the copies is in the precision of spectra, which is float64 for all.
    dense = entries * (size * (copies - 1) + _SPECTRUM_BYTES)
    sides = [prod(shape[:k]) if format == "tt" else shape[k - 1] for k in range(1, order + (format != "tt"))]
    gram = max(min(side, entries // side) for side in sides) ** 2 * _SPECTRUM_BYTES
    return dense + size * partial + _GRAMS * gram + factors


def available_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device.

    Arguments:
        device: cpu or cuda.

    Returns:
        Bytes; None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    known = [free for free in (_system_bytes(), _group_bytes()) if free is not None]
    return min(known, default=None)


def check_memory(where: str, what: str, needed: int, device: torch.device, advice: str) -> None:
    """Refuse what does not fit, before it starts.

    Arguments:
        where: the caller's name, for the message.
        what: that which needs the memory, in words.
        needed: bytes.
        device: where they are needed.
        advice: what to do instead, in words.

    Raises:
        OptionError: less is free.
    """
    free = available_bytes(device)
    if free is not None and needed > free:
        raise OptionError(
            f"{where}: {what} needs {shown_bytes(needed)}, {shown_bytes(free)} are free on {device}; {advice}."
        )


def _system_bytes() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:  # systems without /proc; all pages, because what is free is not known everywhere
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _group_bytes() -> int | None:
    """What the limit of a container leaves; file caches that the system would drop count as free."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((_GROUP / "memory.current").read_text())
        counts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return max(int(limit) - used + int(counts.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        return None


def shown_bytes(count: float) -> str:
    """A number of bytes as people read it."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count} bytes"

"""Let the C library keep freed memory, so that the next training step need not ask for it again."""

import ctypes
from typing import Literal

from rankfold._errors import OptionError

__all__ = ["tune_cpu_allocator"]

# Parameter numbers and the meaning of the values: glibc's malloc.h and mallopt(3). Values are C ints.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_SETTINGS = {
    # Far above any activation of a network that is trained on a CPU, and the largest C int (2 GiB less one byte).
    "speed": {_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1},
    # Below that a page table entry per block costs more than the block; the threshold for the heap's end is glibc's.
    "memory": {_M_MMAP_THRESHOLD: 1 << 20, _M_TRIM_THRESHOLD: 128 << 10},
}


def tune_cpu_allocator(prefer: Literal["speed", "memory"] = "speed") -> bool:
    """Keep freed CPU memory in the process, or give it back at once; with glibc that decides speed and peak memory.

    By default glibc gives every freed block above 32 MiB back to the system, and each training step then pays for
    its activations with page faults. Low-rank layers compute so little that this is a large part of their time. After
    this call only blocks above 1 GiB, and a free end of the heap above 2 GiB, go back. The cost: memory that
    was used once stays with the process, and other programs cannot have it.

    With ``'memory'`` every block of 1 MiB and more goes back as soon as it is freed. glibc otherwise carves
    blocks of up to 32 MiB out of one heap, where the ever different sizes of factors leave holes several times their
    size. The cost: page faults, so that steps take longer.

    The setting holds for the whole process and for memory asked for from now on. CUDA memory is not concerned.

    Arguments:
        prefer: ``'speed'`` or ``'memory'``.

    Returns:
        Whether it took effect: True with a glibc that accepts the two values, False with any other C library (musl,
        macOS, Windows), where nothing happens.

    Raises:
        OptionError: another preference.

    Reference:
        mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.

    Example:
        >>> import rankfold as rf
        >>> took_effect = rf.tune_cpu_allocator()  # once, before training
        >>> rf.tune_cpu_allocator() == took_effect
        True
    """
    if prefer not in _SETTINGS:
        raise OptionError(
            f"tune_cpu_allocator: prefer must be 'speed' or 'memory', got {prefer!r}; choose one of these."
        )
    try:
        library = ctypes.CDLL(None)  # Windows: TypeError
        # The second name is asked for because another C library may have a mallopt with other numbers.
        mallopt, _ = library.mallopt, library.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS[prefer].items())

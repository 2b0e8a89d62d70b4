"""Let the C library keep freed memory, so that the next training step need not ask for it again."""

import ctypes

__all__ = ["tune_cpu_allocator"]

# Parameter numbers and the meaning of the values: glibc's malloc.h and mallopt(3). Values are C ints.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# Far above any activation of a network that is trained on a CPU, and the largest C int (2 GiB less one byte).
_MMAP_THRESHOLD = 1 << 30
_TRIM_THRESHOLD = (1 << 31) - 1


def tune_cpu_allocator() -> bool:
    """Keep freed CPU memory in the process, which makes training on a CPU faster with glibc.

    By default glibc gives every freed block above 32 MiB back to the system, and each training step then pays for
    its activations with page faults. Low-rank layers compute so little that this is a large part of their time. After
    this call only blocks above 1 GiB, and a free end of the heap above 2 GiB, go back. The cost: memory that
    was used once stays with the process, and other programs cannot have it. The setting holds for the whole process
    and cannot be undone; calling again changes nothing. CUDA memory is not concerned.

    Returns:
        Whether it took effect: True with a glibc that accepts the two values, False with any other C library (musl,
        macOS, Windows), where nothing happens.

    Reference:
        mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.

    Example:
        >>> import rankfold as rf
        >>> took_effect = rf.tune_cpu_allocator()  # once, before training
        >>> rf.tune_cpu_allocator() == took_effect
        True
    """
    try:
        library = ctypes.CDLL(None)  # Windows: TypeError
        # The second name is asked for because another C library may have a mallopt with other numbers.
        mallopt, _ = library.mallopt, library.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = ((_M_MMAP_THRESHOLD, _MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, _TRIM_THRESHOLD))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)

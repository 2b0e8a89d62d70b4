"""How much a compressed file may become, and lines that do not grow without end."""

import stat
from collections.abc import Iterator
from pathlib import Path

from rankfold._npy_header import Readable

__all__ = ["limited_lines", "most_unpacked", "regular_size"]

# A file of real data seldom becomes more than a few times its size; one that was made to fill a memory becomes up to
# 1032 times, the most that deflate can (RFC 1951). Choices of this library.
_SURE, _RATIO = 256 << 20, 100
_LINE = 1 << 20  # bytes of a line of text


def regular_size(path: Path) -> int:
    """Bytes of a regular file; to open a pipe would wait for its other end.

    Raises:
        OSError: there is none.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError("it is no regular file")
    return about.st_size


def most_unpacked(path: Path) -> int:
    """Bytes that the content of a compressed file may have: 256 MiB, or 100 times its own size if that is more.

    Raises:
        OSError: it is no regular file.
    """
    return max(_SURE, _RATIO * regular_size(path))


def limited_lines(file: Readable, most: int) -> Iterator[str]:
    """Lines of UTF-8 text.

    Arguments:
        file: gives bytes.
        most: bytes of all lines together.

    Raises:
        ValueError: a line of over a megabyte, more lines than that, or no UTF-8.
    """
    rest = b""
    while piece := file.read(_LINE):
        most -= len(piece)
        if most < 0:
            raise ValueError(
                "it unpacks to over 256 MiB and 100 times its size; unpack it yourself if you trust it"
            )
        if b"\r" in piece:  # ends of lines of other systems
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LINE:
            raise ValueError(f"it has a line of over {_LINE:,} bytes")
        yield from map(bytes.decode, lines)
    yield rest.decode()

"""Bytes of an element of a MATLAB 5 file, packed or not, and its parts; never more than there are."""

import struct
import zlib
from collections.abc import Callable
from typing import IO

__all__ = ["Parts", "packed_reader", "plain_reader"]

_CHUNK = 1 << 16  # bytes; any size that bounds the memory will do
_ENDS = "it ends before what it announces"

#: Gives so many bytes, or raises ValueError.
Read = Callable[[int], bytes]


def plain_reader(file: IO[bytes], length: int) -> Read:
    """Reads the next bytes of a file, of which so many belong to the element."""
    left = length

    def read(count: int) -> bytes:
        nonlocal left
        left -= count
        found = file.read(count) if left >= 0 else b""
        if len(found) < count:
            raise ValueError(_ENDS)
        return found

    return read


def packed_reader(file: IO[bytes], length: int, most: int) -> Read:
    """Unpacks a compressed element as it is read.

    Arguments:
        file: at the beginning of the packed bytes.
        length: how many they are.
        most: bytes that they may become.
    """
    engine, ready, packed = zlib.decompressobj(), bytearray(), length

    def read(count: int) -> bytes:
        nonlocal most, packed
        most -= count
        if most < 0:
            raise ValueError("it unpacks to over 256 MiB and 100 times its size; save it without compression")
        while len(ready) < count:
            piece = engine.unconsumed_tail or file.read(min(_CHUNK, packed))
            if not engine.unconsumed_tail:
                packed -= len(piece)
            if not piece or engine.eof:
                raise ValueError(_ENDS)
            ready.extend(engine.decompress(piece, max(_CHUNK, count - len(ready))))
        found = bytes(ready[:count])
        del ready[:count]
        return found

    return read


class Parts:
    """The parts of a matrix, one after the other: each a type, a length and a content, in steps of eight bytes.

    Arguments:
        read: gives the bytes.
        order: ``<`` or ``>``.
        length: bytes of all parts.

    Reference:
        MathWorks, "MAT-file format", version 5.
    """

    def __init__(self, read: Read, order: str, length: int) -> None:
        self._read, self._order, self._left, self._padding = read, order, length, 0

    def next(self, most: int) -> tuple[int, bytes]:
        """Type and content of the next part.

        Raises:
            ValueError: it is longer than ``most``, or than what is there.
        """
        self._take(self._padding)
        (word,) = struct.unpack(f"{self._order}I", self._take(4))
        kind, count = word & 0xFFFF, word >> 16
        if count:  # a small part, all of it in these eight bytes
            self._padding = 0
            return kind, self._take(4)[:count]
        (count,) = struct.unpack(f"{self._order}I", self._take(4))
        if count > most:
            raise ValueError(f"a part of it has {count:,} bytes, {most:,} belong to it")
        self._padding = -count % 8
        return kind, self._take(count)

    def _take(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise ValueError(_ENDS)
        return self._read(count)

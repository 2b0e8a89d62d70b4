"""Damage inside of containers: taken apart, changed, and put together so that it is reached."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

from benchmarks.fuzz._hostile import NAMES, TOKENS
from benchmarks.fuzz._mutate import Mutator, bytes_mutator, mutated_json

__all__ = [
    "gzip_mutator",
    "idx_mutator",
    "mat_mutator",
    "npy_mutator",
    "npz_mutator",
    "safetensors_mutator",
    "tar_mutator",
]

_SHAPES = (
    "(2**62, 2**62)",
    "(4611686018427387904, 4611686018427387904)",
    "(10000000000000,)",
    "(1000000, 1000000)",
    "(100000, 20000)",
    "(-1, -24)",
    "(-24,)",
    "(0, 9223372036854775807)",
    "(1.0, 2)",
    "(True, 2)",
    "()",
    "24",
    "[2, 3]",
    "('2', 3)",
    "(" * 300 + "1" + ",)" * 300,
    "(" + "1," * 70 + ")",
    "(" + "1," * 4000 + ")",
)
_DESCRIPTIONS = (
    "'|O'", "'<f8'", "'>f8'", "'<f2'", "'<c16'", "'<U3'", "'|S0'", "'|V0'", "'|V8'", "'<M8[s]'", "'<f16'", "'|b1'",
    "'<i9'", "'O8'", "'a3'", "[('a', '<f8')]", "[('a', '|O')]", "None", "1", "'x'", "('<f8', (2000000000,))",
    "'<f8" + "x" * 5000 + "'", "[('a', [('b', '<f8')] )]", "{'names': ['a'], 'formats': ['<f8']}", "'<U1000000000'",
)  # fmt: skip


def safetensors_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """The header of the format, our header in its metadata, or the bytes."""
    kind = chance.randrange(10)
    if kind < 3 or len(seed) < 8:
        return bytes_mutator(seed, chance, seeds)
    length = int.from_bytes(seed[:8], "little")
    header, data = json.loads(seed[8 : 8 + length]), seed[8 + length :]
    metadata = header.get("__metadata__", {})
    if kind < 8 and "rankfold" in metadata:
        ours = json.loads(metadata["rankfold"])
        if chance.random() < 0.9:  # files of the first format have no digest to fail
            ours["version"] = "rankfold-1"
            metadata.pop("rankfold-sha256", None)
        metadata["rankfold"] = mutated_json(ours, chance)
        text = json.dumps(header)
    elif kind == 8:
        text, data = json.dumps(_other_tensors(header, chance)), _other_numbers(data, chance)
    else:
        text = mutated_json(header, chance)
    written = text.encode("utf-8", "surrogatepass")
    return len(written).to_bytes(8, "little") + written + data


def _other_tensors(header: dict[str, Any], chance: Random) -> dict[str, Any]:
    """Tensors of other names, shapes and types, on the same bytes."""
    changed = {}
    for name, entry in header.items():
        if name == "__metadata__":
            metadata = dict(entry)
            if "rankfold" in metadata:
                metadata["rankfold"] = json.dumps(
                    {**json.loads(metadata["rankfold"]), "version": "rankfold-1"}
                )
            changed[name] = metadata
            continue
        entry = dict(entry)
        kind = chance.randrange(8)
        if kind == 0:
            name = chance.choice(NAMES)
        elif kind == 1:
            entry["shape"] = chance.choice(
                (entry["shape"][::-1], [1, *entry["shape"]], [*entry["shape"], 1], [])
            )
        elif kind == 2:
            entry["dtype"] = chance.choice(("I32", "F32", "U32", "I64", "F64", "C64", "U64", "F16", "Q"))
        elif kind == 3:
            entry["shape"], entry["data_offsets"] = [0], [entry["data_offsets"][0]] * 2
        changed[name] = entry
    return changed


def _other_numbers(data: bytes, chance: Random) -> bytes:
    if not data:
        return data
    content = bytearray(data)
    for _ in range(chance.choice((0, 1, 3))):
        place = chance.randrange(len(content)) // 4 * 4
        word = chance.choice(
            (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x00\x00\x00\x00")
        )
        content[place : place + 4] = word[: len(content) - place]
    return bytes(content)


def npy_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """The header of a NumPy array with other shapes, types, orders and lengths."""
    if chance.random() < 0.35:
        return bytes_mutator(seed, chance, seeds)
    major = seed[6]
    size = 2 if major == 1 else 4
    start = 8 + size
    length = int.from_bytes(seed[8:start], "little")
    header, data = seed[start : start + length].decode("latin-1"), seed[start + length :]
    entries = {"descr": "'<f8'", "fortran_order": "False", "shape": "(2, 3, 4)"}
    kind = chance.randrange(6)
    if kind < 2:
        entries["shape"] = chance.choice(_SHAPES)
    elif kind == 2:
        entries["descr"] = chance.choice(_DESCRIPTIONS)
    elif kind == 3:
        entries[chance.choice(tuple(entries))] = chance.choice((*TOKENS, *map(repr, NAMES)))
    elif kind == 4:
        entries.pop(chance.choice(tuple(entries)))
    else:
        entries[chance.choice(NAMES)] = "1L"
    if chance.random() < 0.9:
        header = "{" + "".join(f"{key!r}: {value}, " for key, value in entries.items()) + "}\n"
    text = header.encode("utf-8", "surrogatepass")
    major = chance.choice((major, major, 1, 2, 3, 4, 0))
    size = 2 if major == 1 else 4
    said = len(text) if chance.random() < 0.9 else chance.choice((0, 1, 2**16 - 1, 2**32 - 1))
    return seed[:6] + bytes([major, 0]) + (said % 256**size).to_bytes(size, "little") + text + data


def idx_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Sizes, type and number of axes of an IDX file."""
    if chance.random() < 0.4:
        return bytes_mutator(seed, chance, seeds)
    content = bytearray(seed)
    sizes = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65536, 28, len(seed))
    for axis in range(content[3]):
        if chance.random() < 0.5:
            content[4 + 4 * axis : 8 + 4 * axis] = chance.choice(sizes).to_bytes(4, "big")
    if chance.random() < 0.2:
        content[chance.randrange(4)] = chance.choice((0, 1, 8, 9, 0x0D, 255))
    return bytes(content)


def gzip_mutator(inner: Mutator) -> Mutator:
    """Damage to what is packed, then packed; or to the packed bytes."""

    def mutate(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
        if chance.random() < 0.3:
            return bytes_mutator(seed, chance, seeds)
        unpacked = [gzip.decompress(one) for one in seeds]
        packed = gzip.compress(inner(gzip.decompress(seed), chance, unpacked), 1, mtime=0)
        kind = chance.randrange(12)
        if kind == 0:
            packed = packed * 2
        elif kind == 1:
            packed += chance.randbytes(chance.randrange(20))
        elif kind == 2:
            packed = packed[: chance.randrange(len(packed))]
        elif kind == 3:
            packed = packed[:-4] + chance.randbytes(4)
        return packed

    return mutate


def npz_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Arrays of an archive, their names, and the archive."""
    if chance.random() < 0.3:
        return bytes_mutator(seed, chance, seeds)
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    all_ = list(members.values())
    victim = chance.choice(list(members))
    kind = chance.randrange(6)
    if kind < 4:
        members[victim] = npy_mutator(members[victim], chance, all_)
    elif kind == 4:
        members[chance.choice(NAMES)[:60_000] + chance.choice((".npy", ""))] = members.pop(victim)
    else:
        members[victim] = chance.choice((seed, b"", b"\x80\x04.", b"hello", bytes(3_000_000)))
    out = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            try:
                archive.writestr(zipfile.ZipInfo(name.replace("\x00", "\x01") or "x"), content, method)
            except (UnicodeEncodeError, ValueError):
                archive.writestr("x.npy", content)
    packed = out.getvalue()
    return bytes_mutator(packed, chance, seeds) if chance.random() < 0.15 else packed


def mat_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """The elements of a MATLAB 5 file, also inside of compressed ones."""
    if chance.random() < 0.3 or seed[:6] != b"MATLAB":
        return bytes_mutator(seed, chance, seeds)
    header, place, elements = seed[:128], 128, []
    while place + 8 <= len(seed):
        kind, size = struct.unpack_from("<II", seed, place)
        elements.append((kind, seed[place + 8 : place + 8 + size]))
        place += 8 + size
    victim = chance.randrange(len(elements))
    kind, content = elements[victim]
    packed = kind == 15
    content = zlib.decompress(content) if packed else struct.pack("<II", kind, len(content)) + content
    content = bytes_mutator(content, chance, [content])
    if chance.random() < 0.5 and len(content) >= 8:  # small sizes and types within
        place = chance.randrange(len(content) // 4) * 4
        value = chance.choice(
            (0, 1, 5, 6, 9, 14, 15, 16, 17, 18, 19, 0x7FFFFFFF, 0x10000000, 0xFFFFFFFF, 0x00040001)
        )
        content = content[:place] + struct.pack("<I", value) + content[place + 4 :]
    if packed and chance.random() < 0.9:
        content = zlib.compress(content)
        content = struct.pack("<II", 15, len(content)) + content
    before = [struct.pack("<II", kind, len(rest)) + rest for kind, rest in elements]
    before[victim] = content
    if chance.random() < 0.1:
        before.append(before[victim])
    return header + b"".join(before)


def tar_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Members of other kinds, names, sizes and aims."""
    if chance.random() < 0.2:
        return bytes_mutator(seed, chance, seeds)
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(seed)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        members = old.getmembers()
        victim = chance.choice(members).name
        for member in members:
            file = old.extractfile(member)
            content = b"" if file is None else file.read()
            if member.name == victim:
                content = _other_member(member, content, chance, [one.name for one in members])
            new.addfile(member, io.BytesIO(content))
    raw = out.getvalue()
    raw = bytes_mutator(raw, chance, [raw]) if chance.random() < 0.3 else raw
    packed = gzip.compress(raw, 1, mtime=0)
    return bytes_mutator(packed, chance, seeds) if chance.random() < 0.1 else packed


_KINDS = (
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
)


def _other_member(member: tarfile.TarInfo, content: bytes, chance: Random, names: list[str]) -> bytes:
    kind = chance.randrange(5)
    if kind < 2:
        member.type, member.size = chance.choice(_KINDS), 0
        member.linkname = chance.choice(
            (*names, member.name, "/etc/passwd", "../../../etc/passwd", "x" * 200)
        )
        return b""
    if kind == 2:
        member.name = chance.choice(("/tmp/owned", "../../owned", *names, "x" * 300))
    elif kind == 3:
        content = chance.choice((b"", content[:-1], content + b"x", bytes(2_000_000)))
        member.size = len(content)
    else:
        member.pax_headers = {
            "path": chance.choice(("../owned", member.name)),
            "size": chance.choice(("-1", "9" * 30)),
        }
    return content

"""Files that are damaged by chance or made to do harm, from fixed seeds."""

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

Case = tuple[str, bytes]

#: What may stand anywhere in a JSON header instead of what should.
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**400,
    -(2**70),
    1.5,
    1e308,
    float("nan"),
    "",
    "x",
    "../../etc/passwd",
    "a.b..c.",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"x": {}},
    [2**62, 2**62],
    {"dict": 1},
    {"tensor": "0"},
    {"dict": [[[], {"value": 1}]]},
]


def header_size(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def cut(content: bytes, count: int, seed: int) -> Iterator[Case]:
    """Ends in all regions: the length, the header, the data, and just before the end."""
    numbers, start, size = random.Random(seed), header_size(content), len(content)
    ends = [*range(9), *range(start - 4, start + 5), *range(size - 9, size)]
    ends += [numbers.randrange(8, start) for _ in range(count)] + [
        numbers.randrange(start, size) for _ in range(count)
    ]
    for end in ends:
        yield f"cut at {end}", content[:end]
        yield f"zeros from {end}", content[:end] + bytes(size - end)


def flipped(content: bytes, count: int, seed: int) -> Iterator[Case]:
    """One bit, or a few, turned over; a third of them in the data."""
    numbers, start = random.Random(seed), header_size(content)
    for index in range(count):
        damaged = bytearray(content)
        low, high = ((0, start), (8, start), (start, len(content)))[index % 3]
        places = [
            (numbers.randrange(low, high), numbers.randrange(8)) for _ in range(numbers.choice((1, 1, 1, 4)))
        ]
        for place, bit in places:
            damaged[place] ^= 1 << bit
        if damaged != content:
            yield f"bits {places}", bytes(damaged)


def spliced(content: bytes, count: int, seed: int) -> Iterator[Case]:
    """Pieces repeated, lost, moved, or noise."""
    numbers = random.Random(seed)
    for index in range(count):
        a, b, c = sorted(numbers.randrange(len(content)) for _ in range(3))
        yield (
            f"splice {index % 5} at {a}, {b}, {c}",
            [
                content[:a] + content[b:],
                content[:b] + content[a:],
                content[:a] + content[b:c] + content[a:b] + content[c:],
                content[:a] + numbers.randbytes(b - a) + content[b:],
                numbers.randbytes(c),
            ][index % 5],
        )


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def malformed() -> Iterator[Case]:
    """What the safetensors format forbids, or allows and nobody writes."""

    def one(**changes: Any) -> dict[str, Any]:
        return {"0.core": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}

    for length in (0, 1, 2**31, 2**32, 2**63, 2**64 - 1):
        yield f"length {length}", raw(one(), bytes(4), length)
    for text in (b"", b"{}", b"[]", b"1", b"null", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 100_000):
        yield f"header {text[:8]!r}", raw(text)
    for shape in ([-1], [2**62, 2**62], [2**63], [1.5], "1", None, [1] * 70, [0, 2**62], [0] * 3, [True], {}):
        yield f"shape {shape}", raw(one(shape=shape), bytes(4))
    for offsets in ([4, 0], [0, 8], [-4, 0], [0, 2**64], [0], [], None, [0, 0], [1, 5], ["0", "4"]):
        yield f"offsets {offsets}", raw(one(data_offsets=offsets), bytes(4))
    for dtype in ("F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E5M2", "C64", "BOOL", "U64", "Q", "", None, 1):
        yield f"dtype {dtype}", raw(one(dtype=dtype), bytes(4))
        yield f"dtype {dtype} of other size", raw(one(dtype=dtype, shape=[8]), bytes(4))
    both = {**one(), "1.core": one()["0.core"]}
    yield "two tensors on one place", raw(both, bytes(4))
    yield "one name twice", raw(b'{"a":%b,"a":%b}' % ((json.dumps(one()["0.core"]).encode(),) * 2), bytes(4))
    for metadata in (1, [], "x", {"rankfold": 1}, {"rankfold": None}, {"rankfold": ["x"]}, {"a": {}}):
        yield f"metadata {metadata}", raw({"__metadata__": metadata, **one()}, bytes(4))
    for text in (
        "",
        "[",
        "{",
        "1",
        "null",
        "[]",
        '"x"',
        "[" * 10**6,
        '{"a":' * 10**5,
        "1" * 5000,
        "NaN",
        "\x00",
    ):
        yield f"our header {text[:8]!r}", raw({"__metadata__": {"rankfold": text}, **one()}, bytes(4))
    for name in (
        "",
        ".",
        "..",
        "...",
        "/",
        "../x",
        "\x00",
        "a" * 10**5,
        "0..core",
        ".core",
        "ranks",
        "__metadata",
    ):
        yield f"name {name[:9]!r}", raw({name: one()["0.core"]}, bytes(4))
    many = {f"{i}.core": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    yield "many empty tensors", raw(many)
    yield "a numpy file", np.lib.format.magic(1, 0) + bytes(200)


def changed_headers(header: dict[str, Any], count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Our header with another value, no value, or one more, at places all over it."""
    numbers, places = random.Random(seed), list(_places(header))
    for index in range(count):
        place = places[index % len(places)] if index < len(places) else numbers.choice(places)
        value = VALUES[index % len(VALUES)] if index < len(places) else numbers.choice(VALUES)
        copy = json.loads(json.dumps(header))
        node = copy
        for key in place[:-1]:
            node = node[key]
        what = numbers.choice(("set", "set", "set", "drop", "rename"))
        if what == "set" or isinstance(node, list):
            node[place[-1]] = value
        else:
            old = node.pop(place[-1])
            if what == "rename":
                node[value if isinstance(value, str) else str(value)[:50]] = old
        yield f"{what} {place} to {str(value)[:40]}", copy


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _places(node[key], (*path, key))

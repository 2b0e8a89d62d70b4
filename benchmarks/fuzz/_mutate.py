"""Damage that knows nothing of formats, and damage to JSON."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from benchmarks.fuzz._hostile import NAMES, TOKENS

__all__ = ["Mutator", "bytes_mutator", "json_lines_mutator", "json_mutator", "mutated_json", "text_mutator"]

#: From a seed, a source of chance and all seeds to a hostile input.
Mutator = Callable[[bytes, Random, Sequence[bytes]], bytes]

_WORDS = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x01",
    b"\n",
    b" ",
    b"\x93NUMPY",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x80\x04",
)
_INTEGERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_HEAD = 256  # bytes in which most formats say what follows


def bytes_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Bits turned over, pieces lost, repeated, moved or exchanged with another seed, integers overwritten."""
    content = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _damage(content, chance, seeds)
    return bytes(content)


def _place(content: bytearray, chance: Random) -> int:
    """Half of the time near the beginning, where headers are."""
    end = min(len(content), _HEAD) if chance.random() < 0.5 else len(content)
    return chance.randrange(end + 1)


def _damage(content: bytearray, chance: Random, seeds: Sequence[bytes]) -> None:
    place, kind = _place(content, chance), chance.randrange(10)
    length = chance.choice((1, 2, 4, 8, 16, 64, chance.randrange(len(content) + 1)))
    if kind in (0, 1) and place < len(content):
        content[place] ^= 1 << chance.randrange(8)
    elif kind == 2:
        size = chance.choice((1, 2, 4, 8))
        value = chance.choice(_INTEGERS) % 256**size
        content[place : place + size] = value.to_bytes(size, chance.choice(("little", "big")))
    elif kind == 3:
        del content[place:]
    elif kind == 4:
        del content[place : place + length]
    elif kind == 5:
        content[place:place] = content[place : place + length] * chance.choice((1, 1, 2, 50))
    elif kind == 6:
        content[place : place + length] = chance.randbytes(length)
    elif kind == 7:
        content[place:place] = chance.choice(_WORDS) * chance.choice((1, 1, 4, 100))
    elif kind == 8:
        other = chance.choice(seeds)
        content[place:] = other[chance.randrange(len(other) + 1) :]
    else:
        content[place:] = bytes(len(content) - place)


def text_mutator(words: Sequence[str]) -> Mutator:
    """Damage to text: words of a dictionary put in or in the place of others, lines repeated, lost, exchanged."""

    def mutate(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
        if chance.random() < 0.25:
            return bytes_mutator(seed, chance, seeds)
        lines = seed.decode("utf-8", "replace").split("\n")
        for _ in range(chance.choice((1, 1, 2, 3))):
            row = chance.randrange(len(lines))
            word = chance.choice((*words, *NAMES))
            cells = lines[row].replace(",", " ,").split(" ")
            cells[chance.randrange(len(cells))] = word
            kind = chance.randrange(6)
            if kind < 3:
                lines[row] = " ".join(cells).replace(" ,", ",")
            elif kind == 3:
                lines.insert(row, word)
            elif kind == 4:
                lines[row] += chance.choice((" ", ",", "\t", "\r", "")) + word
            else:
                lines += lines[row : row + 2] * chance.choice((1, 1, 200))
        return _encoded("\n".join(lines), chance)

    return mutate


def json_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """A JSON file with other values, names and nesting, or damaged as text."""
    if chance.random() < 0.1:
        return bytes_mutator(seed, chance, seeds)
    return _encoded(mutated_json(json.loads(seed), chance), chance)


def json_lines_mutator(seed: bytes, chance: Random, seeds: Sequence[bytes]) -> bytes:
    """The same for a file with one object per line."""
    if chance.random() < 0.1:
        return bytes_mutator(seed, chance, seeds)
    lines = seed.decode().splitlines()
    for _ in range(chance.choice((1, 1, 2))):
        row = chance.randrange(len(lines))
        kind = chance.randrange(8)
        if kind == 0:
            lines.insert(row, lines[chance.randrange(len(lines))])
        elif kind == 1 and len(lines) > 1:
            del lines[row]
        elif kind == 2:
            lines.insert(row, chance.choice(("", " ", *TOKENS)))
        else:
            lines[row] = mutated_json(json.loads(seed.decode().splitlines()[0]), chance)
    return _encoded("\n".join(lines) + "\n", chance)


def mutated_json(tree: Any, chance: Random) -> str:
    """JSON text of a tree in which one to three places were changed."""
    tokens: dict[str, str] = {}
    box = [tree]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _change(box, chance, tokens)
    text = json.dumps(box[0])
    for mark, token in tokens.items():
        text = text.replace(json.dumps(mark), token)
    if chance.random() < 0.03:
        text = (
            chance.choice(("\ufeff", "", " ", "//\n")) + text + chance.choice(("x", "\x00", text, "]", ","))
        )
    return text


def _change(box: list[Any], chance: Random, tokens: dict[str, str]) -> None:
    *way, last = chance.choice(list(_places(box)))
    node: Any = box
    for key in way:
        node = node[key]
    kind = chance.randrange(10)
    if kind < 6 or not isinstance(node, dict):
        mark = f"token {len(tokens)}"
        tokens[mark] = chance.choice(TOKENS)
        node[last] = chance.choice((mark, mark, mark, chance.choice(NAMES)))
    elif kind == 6:
        del node[last]
    elif kind == 7:
        node[chance.choice(NAMES)] = node.pop(last)
    elif kind == 8:
        node[chance.choice(NAMES)] = node[last]
    else:  # a name twice
        mark = f"token {len(tokens)}"
        tokens[mark] = f"1,{json.dumps(last)}:{chance.choice(TOKENS)}"
        node[last] = mark


def _places(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield (*way, key)
        yield from _places(node[key], (*way, key))


def _encoded(text: str, chance: Random) -> bytes:
    encoding = chance.choice(("utf-8",) * 30 + ("utf-16", "utf-8-sig", "latin-1", "utf-32"))
    return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")

"""JSON of others: what is refused, always with an OSError or a ValueError."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfold import _json_files
from rankfold._json_files import parse_json, read_json, read_text, within_depth

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_what_json_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[1] x", "Extra data"),
        ("\ufeff{}", "BOM"),
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 100_000, "levels deep"),
        ("[" * 201 + "]" * 201, "levels deep"),
        ("[" * 900 + "]" * 900, "levels deep"),
        ('{"a": 1, "a": 1}', "'a' is there twice"),
        ('[{"x": {"a": 1, "b": 2, "b": 3}}]', "'b' is there twice"),
        ("9" * 5000, "digits"),
        ("[1, ]", "Expecting value|Illegal"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_depth() -> None:
    deep: list = []
    for _ in range(199):
        deep = [deep]
    assert within_depth(deep)
    assert not within_depth([deep])
    assert parse_json(json.dumps(deep)) == deep
    held: list = []
    held.append(held)
    assert not within_depth(held)


def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    file.write_text("[" + "1," * 1000 + "1]")
    assert len(read_json(file)) == 1001
    monkeypatch.setattr(_json_files, "_MOST", 100)
    with pytest.raises(ValueError, match="it has over"):
        read_json(file)
    with file.open("wb") as opened:
        opened.truncate(1 << 40)  # a hole, which takes no space on the disk and none in memory
    with pytest.raises(ValueError, match="it has over"):
        read_text(file)


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00}\x00", b'"\xe9"', "{}".encode("utf-32")])
def test_other_encodings(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"utf-8|Expecting|BOM"):
        read_json(tmp_path / "x")


def test_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="no regular file"):
            read_text(tmp_path / name)
    for name in ("missing", "."):
        with pytest.raises(OSError, match=r"No such file|Is a directory|no regular file"):
            read_text(tmp_path / name)

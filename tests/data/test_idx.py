import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankfold._errors import DataError
from rankfold.data._idx import read_idx


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.sampled_from(["", ".gz"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_reads_what_was_written(tmp_path: Path, write_idx, shape, suffix) -> None:
    array = np.arange(math.prod(shape)).reshape(shape) % 256
    path = write_idx(tmp_path / f"file{suffix}", array)
    found = read_idx(path, len(shape))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_every_cut_is_noticed(tmp_path: Path, write_idx, data) -> None:
    suffix = data.draw(st.sampled_from(["", ".gz"]))
    path = write_idx(tmp_path / f"file{suffix}", np.arange(12).reshape(3, 4))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match="file"):
        read_idx(path, 2)


def _damaged(content: bytes, how: str) -> bytes:
    return {
        "longer": content + b"\0",
        "other type": content[:2] + b"\x0d" + content[3:],
        "other dimensions": content[:3] + b"\x01" + content[4:],
        "not zero": b"\x01" + content[1:],
        "header cut": content[:7],
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("longer", "holds 5 bytes, its header"),
        ("other type", "begins with 00 00 0d 02"),
        ("other dimensions", "begins with 00 00 08 01"),
        ("not zero", "begins with 01 00 08 02"),
        ("header cut", "ends inside its header"),
    ],
)
def test_damage_is_named(tmp_path: Path, write_idx, how: str, message: str) -> None:
    path = write_idx(tmp_path / "broken", np.zeros((2, 2)))
    path.write_bytes(_damaged(path.read_bytes(), how))
    with pytest.raises(DataError, match=message) as raised:
        read_idx(path, 2)
    assert str(path) in str(raised.value)


def test_corrupt_gzip(tmp_path: Path) -> None:
    path = tmp_path / "broken.gz"
    content = bytearray(gzip.compress(bytes(range(256)) * 8))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.gz cannot be read"):
        read_idx(path, 1)


def test_not_gzip_at_all(tmp_path: Path) -> None:
    path = tmp_path / "page.gz"
    path.write_text("<html>log in to this network first</html>")
    with pytest.raises(DataError, match=r"page\.gz cannot be read"):
        read_idx(path, 1)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none", 1)

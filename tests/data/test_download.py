import hashlib
import http.client
import io
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from rankfold._errors import DataError
from rankfold.data._download import download_file

_CONTENT = b"the right bytes" * 100_000
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()
_URLOPEN = urllib.request.urlopen


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder that answers through ``file://``; it holds the right file, and a wrong one."""
    monkeypatch.setattr(urllib.request, "urlopen", _URLOPEN)
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "right").write_bytes(_CONTENT)
    (folder / "wrong").write_bytes(_CONTENT[:-1])
    return folder.as_uri()


def test_right_bytes(tmp_path: Path, served: str) -> None:
    target = tmp_path / "new" / "folder" / "file"
    download_file([f"{served}/right"], _SHA256, target)
    assert target.read_bytes() == _CONTENT
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_next_address_after_failures(tmp_path: Path, served: str) -> None:
    target = tmp_path / "file"
    download_file([f"{served}/none", f"{served}/wrong", f"{served}/right"], _SHA256, target)
    assert target.read_bytes() == _CONTENT


def test_wrong_checksum(tmp_path: Path, served: str) -> None:
    target = tmp_path / "new" / "file"
    with pytest.raises(DataError, match="the file was deleted") as raised:
        download_file([f"{served}/wrong"], _SHA256, target)
    assert f"instead of {_SHA256}" in str(raised.value)
    assert list(target.parent.iterdir()) == []


def test_an_older_file_survives_a_failure(tmp_path: Path, served: str) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"older")
    with pytest.raises(DataError):
        download_file([f"{served}/wrong", f"{served}/none"], _SHA256, target)
    assert target.read_bytes() == b"older"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (urllib.error.URLError("name or service not known"), "name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.IncompleteRead(b"half"), "broken answer"),
        (urllib.error.HTTPError("http://x", 403, "Forbidden", Message(), io.BytesIO(b"")), "403: Forbidden"),
    ],
)
def test_network_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(url: str, timeout: float) -> None:
        assert timeout == 10
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(DataError, match=message) as raised:
        download_file(["http://a/file", "http://b/file"], _SHA256, tmp_path / "file")
    assert "http://a/file" in str(raised.value)
    assert "http://b/file" in str(raised.value)
    assert "connect to the internet, or put the file into" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path, served: str) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot write into"):
        download_file([f"{served}/right"], _SHA256, tmp_path / "occupied" / "file")

import hashlib
import http.client
import io
import urllib.error
import urllib.request
import urllib.response
from email.message import Message
from pathlib import Path

import pytest

from rankfold._errors import DataError
from rankfold.data import _download
from rankfold.data._download import download_file
from rankfold.data._mnist import FASHION_MNIST, MNIST

_CONTENT = b"the right bytes" * 100_000
_SERVED = "https://served.invalid"
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()
_OPENED = _download._opened


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that answers from a folder; it holds the right file, and a wrong one."""
    folder = tmp_path / "served"
    monkeypatch.setattr(
        _download, "_opened", lambda url: urllib.request.urlopen(folder.as_uri() + url.removeprefix(_SERVED))
    )
    folder.mkdir()
    (folder / "right").write_bytes(_CONTENT)
    (folder / "wrong").write_bytes(_CONTENT[:-1])
    return _SERVED


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
    def fail(url: str) -> None:
        raise error

    monkeypatch.setattr(_download, "_opened", fail)
    with pytest.raises(DataError, match=message) as raised:
        download_file(["https://a/file", "https://b/file"], _SHA256, tmp_path / "file")
    assert "https://a/file" in str(raised.value)
    assert "https://b/file" in str(raised.value)
    assert "connect to the internet, or put the file into" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path, served: str) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot write into"):
        download_file([f"{served}/right"], _SHA256, tmp_path / "occupied" / "file")


@pytest.mark.parametrize(
    "url", ["http://a/file", "file:///etc/passwd", "ftp://a/file", "HTTPS//a", "/etc/passwd"]
)
def test_nothing_but_https_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(_download, "_opened", _OPENED)
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(DataError, match="is not https://"):
        download_file([url], _SHA256, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("aim", ["http://b/file", "file:///etc/passwd", "https://b/file"])
def test_a_redirection_stays_secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aim: str) -> None:
    """The first answer leads elsewhere; what a second one would be is never asked for unless it is secure."""
    asked = []

    def answer(self: object, request: urllib.request.Request) -> http.client.HTTPResponse:
        asked.append(request.full_url)
        headers = Message()
        headers["Location"] = aim
        reply = urllib.response.addinfourl(io.BytesIO(_CONTENT), headers, request.full_url)
        reply.code, reply.msg = (302, "Found") if len(asked) == 1 else (200, "OK")
        return reply  # type: ignore[return-value]

    monkeypatch.setattr(_download, "_opened", _OPENED)
    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", answer)
    monkeypatch.setattr(urllib.request.HTTPHandler, "http_open", lambda *_: pytest.fail("asked"))
    monkeypatch.setattr(urllib.request.FileHandler, "file_open", lambda *_: pytest.fail("asked"))
    target = tmp_path / "file"
    if aim.startswith("https"):
        download_file(["https://a/file"], _SHA256, target)
        assert asked == ["https://a/file", aim]
        return
    with pytest.raises(DataError, match=r"is not https://|is not allowed"):
        download_file(["https://a/file"], _SHA256, target)
    assert asked == ["https://a/file"]
    assert not target.exists()


def test_a_file_without_an_end_is_given_up(
    tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "_MOST", 1 << 20)
    with pytest.raises(DataError, match="over 1 MiB came"):
        download_file([f"{served}/right"], _SHA256, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_every_address_is_secure() -> None:
    for files in (MNIST, FASHION_MNIST):
        assert all(address.startswith("https://") for address in files.addresses)
        assert all(len(checksum) == 64 for checksum in files.checksums.values())

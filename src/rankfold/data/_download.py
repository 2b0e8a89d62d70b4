"""Download one file, checked before it gets its name."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from rankfold._errors import DataError

__all__ = ["download_file"]

_TIMEOUT = 10.0  # seconds without a byte; a person waits at the terminal
_CHUNK = 1 << 20  # bytes; any size that bounds the memory will do
_MOST = 256 << 20  # bytes of a file; the largest, of CIFAR-10, has 170 MB
_SECURE = "https://"


def download_file(urls: Sequence[str], sha256: str, target: Path) -> None:
    """Download a file from the first address that delivers the right bytes.

    The bytes go to a temporary name beside the target and are renamed only when their checksum is right, so
    the target is either complete or absent, also when several processes download at once. Nothing is asked for but
    over https, redirections included, and no more than 256 MiB are taken.

    Arguments:
        urls: addresses of the same bytes, in the order to try them.
        sha256: their checksum, 64 hexadecimal digits.
        target: where the file goes; missing folders are made.

    Raises:
        DataError: no address delivered, the checksum is wrong everywhere, or the folder cannot be written.
    """
    failures = []
    for url in urls:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(
                prefix=f"{target.name}.", suffix=".part", dir=target.parent
            )
        except OSError as error:
            raise DataError(
                f"load_dataset: cannot write into {target.parent} ({error}); make it writable, or set "
                "XDG_CACHE_HOME to a folder that is."
            ) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                found = _stream(url, file)
            if found == sha256:
                # mkstemp makes files for the owner alone; a shared cache needs the usual rights.
                Path(partial).chmod(0o644)
                Path(partial).replace(target)
                return
            failures.append(f"{url}: sha256 is {found} instead of {sha256}, the file was deleted")
        except OSError as error:
            failures.append(f"{url}: {error}")
        finally:
            Path(partial).unlink(missing_ok=True)
    raise DataError(
        f"load_dataset: could not download {target.name} ({'; '.join(failures)}); connect to the "
        f"internet, or put the file into {target.parent}, or pass the folder that holds it as data_dir or "
        "RANKFOLD_DATA."
    )


def _stream(url: str, file: BinaryIO) -> str:
    """Copy an address into a file and return the checksum of what came."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    checksum, left = hashlib.sha256(), _MOST
    try:
        with _opened(url) as answer:
            while chunk := answer.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ConnectionError(f"over {_MOST >> 20} MiB came")
                checksum.update(chunk)
                file.write(chunk)
    except HTTPError as error:
        error.close()  # it holds the open answer
        raise
    except HTTPException as error:  # an answer cut short or malformed, which is no OSError
        raise ConnectionError(f"broken answer, {error!r}") from error
    return checksum.hexdigest()


def _opened(url: str) -> Any:
    """The answer of an address, or of one that it leads to, if all are secure."""
    from urllib.error import URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Secure(HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Request | None:
            require_secure(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    def require_secure(address: str) -> None:
        if not address.startswith(_SECURE):
            raise URLError(f"{address[:100]} is not {_SECURE}")

    require_secure(url)
    return build_opener(Secure).open(url, timeout=_TIMEOUT)

"""Download one file, checked before it gets its name."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from rankfold._errors import DataError

__all__ = ["download_file"]

_TIMEOUT = 10.0  # seconds without a byte; a person waits at the terminal
_CHUNK = 1 << 20  # bytes; any size that bounds the memory will do


def download_file(urls: Sequence[str], sha256: str, target: Path) -> None:
    """Download a file from the first address that delivers the right bytes.

    The bytes go to a temporary name beside the target and are renamed only when their checksum is right, so
    the target is either complete or absent, also when several processes download at once.

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
    from urllib.request import urlopen

    checksum = hashlib.sha256()
    try:
        with urlopen(url, timeout=_TIMEOUT) as answer:
            while chunk := answer.read(_CHUNK):
                checksum.update(chunk)
                file.write(chunk)
    except HTTPError as error:
        error.close()  # it holds the open answer
        raise
    except HTTPException as error:  # an answer cut short or malformed, which is no OSError
        raise ConnectionError(f"broken answer, {error!r}") from error
    return checksum.hexdigest()

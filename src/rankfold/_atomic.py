"""Files that are complete under their name or not there at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rankfold._errors import CheckpointError

__all__ = ["atomic_path"]


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it when the block ends well and removed when not.

    Raises:
        CheckpointError: the folder does not exist or cannot be written, or the name is that of a device.
    """
    target = Path(path)
    if "\0" in str(target):
        raise CheckpointError(f"{str(target)!r}: a name cannot hold a zero byte; name another file.")
    if target.exists() and not (
        target.is_file() or target.is_dir()
    ):  # such as /dev/null, which root could replace
        raise CheckpointError(
            f"{target}: is a device or a pipe, which a file would replace; name another file."
        )
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot write there ({error.strerror}); name a folder that exists."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files that only the owner may read
        temporary.replace(target)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot write there ({error.strerror or error}); make room, or name another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)

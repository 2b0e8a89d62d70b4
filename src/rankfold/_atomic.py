"""Files that are complete under their name or not there at all, also after a power cut."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rankfold._errors import CheckpointError

__all__ = ["atomic_path", "remove_leftovers", "sync_folder", "sync_tree"]

_SUFFIX = ".part"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it when the block ends well and removed when not.

    The content is on the disk before the name is: a power cut leaves the old file or the new one.

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
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=_SUFFIX)
        os.close(handle)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot write there ({error.strerror}); name a folder that exists."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files that only the owner may read
        _sync(temporary, os.O_RDWR)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot write there ({error.strerror or error}); make room, or name another place."
        ) from error
    finally:
        with contextlib.suppress(
            OSError
        ):  # where nothing can be removed, what went wrong first is what is told
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left, from a folder that no other process writes to."""
    with contextlib.suppress(OSError):
        for file in folder.glob(f".*{_SUFFIX}"):
            file.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Wait until all files of a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path, os.O_RDWR)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can say so."""
    with contextlib.suppress(PermissionError, NotImplementedError):  # Windows opens no folders
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(handle)

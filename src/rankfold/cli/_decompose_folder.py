"""The folder of a decomposition: complete under its name or not there at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rankfold._atomic import sync_folder, sync_tree
from rankfold._errors import CheckpointError

__all__ = ["new_folder", "place_of_results"]

_ROOT = Path("runs")


def place_of_results(out: Path | None, file: Path, format: str) -> Path:
    """The folder of the results, not made yet: ``--out``, or a name in ``runs`` that is free.

    Raises:
        CheckpointError: the folder exists and is not empty.
    """
    if out is not None:
        try:
            taken = next(out.iterdir(), None) if out.exists() else None
        except OSError as error:
            raise CheckpointError(
                f"{out}: cannot be a folder ({error.strerror}); name another with --out."
            ) from None
        if taken is not None:
            raise CheckpointError(f"{out}: the folder is not empty ({taken.name}); name another with --out.")
        return out
    name = f"{file.name.partition('.')[0]}-{format}-{datetime.now():%Y%m%d-%H%M%S}"
    path, count = _ROOT / name, 1
    while path.exists():
        count += 1
        path = _ROOT / f"{name}-{count}"
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, renamed to it when the block ends well and removed when not.

    Arguments:
        path: does not exist or is an empty folder; missing folders above it are made.

    Raises:
        CheckpointError: the folder cannot be made.
    """
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: the folder cannot be made ({error.strerror}); name another with --out."
        ) from None
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp makes folders that only the owner may enter
        if path.exists():
            path.rmdir()
        sync_tree(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot write there ({error.strerror or error}); make room, or name another with --out."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()

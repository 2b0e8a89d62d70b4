"""Where files of data sets are looked for."""

import os
from collections.abc import Iterable
from pathlib import Path

from rankfold._errors import DataError

__all__ = ["cache_root", "not_found", "search_roots"]


def cache_root() -> Path:
    """Rankfold's folder in the user cache.

    Returns:
        ``$XDG_CACHE_HOME/rankfold``, or ``~/.cache/rankfold`` where the variable is unset or not absolute.

    Reference:
        XDG Base Directory Specification, which tells programs to ignore relative paths in its variables.
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "rankfold"


def search_roots(data_dir: Path | None) -> list[Path]:
    """Folders to search, in order: the argument, ``RANKFOLD_DATA``, the user cache.

    Arguments:
        data_dir: the folder that the caller named, or None.

    Returns:
        One to three folders; only the first is sure to exist, and only where ``data_dir`` is given.

    Raises:
        DataError: ``data_dir`` is not a folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(
            f"load_dataset: data_dir={data_dir} is not a folder; pass an existing one, or none to search "
            "RANKFOLD_DATA and the user cache."
        )
    environment = os.environ.get("RANKFOLD_DATA")
    named = [data_dir, Path(environment).expanduser() if environment else None]
    return [root for root in named if root is not None] + [cache_root()]


def not_found(name: str, wanted: str, places: Iterable[Path]) -> DataError:
    """The error for files that are nowhere, where downloading was not allowed."""
    searched = ", ".join(str(place) for place in places)
    return DataError(
        f"load_dataset({name!r}): {wanted} not found in any of {searched}; put the files into one of these "
        "or allow download=True."
    )

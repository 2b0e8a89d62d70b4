from pathlib import Path

import pytest

from rankfold._errors import DataError
from rankfold.data._locate import cache_root, search_roots


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_cache_without_the_variable(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "rankfold"


def test_cache_with_the_variable(tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "cache" / "rankfold"


def test_roots_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search_roots(None) == [cache_root()]
    monkeypatch.setenv("RANKFOLD_DATA", "somewhere")
    assert search_roots(tmp_path) == [tmp_path, Path("somewhere"), cache_root()]
    monkeypatch.setenv("RANKFOLD_DATA", "")
    assert search_roots(tmp_path) == [tmp_path, cache_root()]


def test_named_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is not a folder"):
        search_roots(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        search_roots(tmp_path / "file")

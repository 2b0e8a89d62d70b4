"""The lock has the versions of the constraints, digests for all of them, and nothing of the machine that wrote it."""

import re

import pytest
from tools.lock import LOCK, lock_text, locked

CONSTRAINTS = LOCK.parent / "constraints.txt"


#: Tools that install, which the constraints say nothing of.
LEFT_OPEN = ["pip", "setuptools"]


def names(entries: list[str]) -> list[str]:
    return [entry.partition("==")[0] for entry in entries]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return {normal(line.partition("==")[0]): line.partition("==")[2] for line in lines if "==" in line}


def test_the_committed_lock_is_that_of_the_constraints() -> None:
    text = "".join(line for line in LOCK.read_text(encoding="utf-8").splitlines(True) if line[0] != "#")
    entries = text.replace(" \\\n", " ").splitlines()
    assert len(entries) > 100
    versions = pinned()
    assert [normal(name) for name in names(entries) if normal(name) not in versions] == LEFT_OPEN
    for entry in entries:
        requirement, *digests = entry.split()
        name, _, version = requirement.partition("==")
        if normal(name) not in LEFT_OPEN:
            assert versions[normal(name)] == version.partition("+")[0], f"{name}: run make lock"
        assert digests
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), entry
    assert {"torch", "numpy", "safetensors", "pytest"} <= set(names(entries))


def entry(name: str, version: str, digest: str | None) -> dict:
    hashes = {} if digest is None else {"sha256": digest}
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {"url": "file:///somewhere/x.whl", "archive_info": {"hashes": hashes}},
    }


def test_reports_of_two_platforms_become_one_file() -> None:
    own = {
        "metadata": {"name": "rankfold", "version": "1"},
        "download_info": {"dir_info": {"editable": True}},
    }
    one = {"install": [own, entry("B", "2", "bb"), entry("a", "1", "aa")]}
    two = {"install": [entry("B", "2", "b1"), entry("c", "3", "cc")]}
    text = lock_text(locked([one, two]))
    assert text.splitlines()[2:] == [
        "a==1 \\",
        "    --hash=sha256:aa",
        "B==2 \\",
        "    --hash=sha256:b1 \\",
        "    --hash=sha256:bb",
        "c==3 \\",
        "    --hash=sha256:cc",
    ]
    assert "somewhere" not in text


def test_what_cannot_be_locked() -> None:
    with pytest.raises(ValueError, match=r"no SHA-256"):
        locked([{"install": [entry("a", "1", None)]}])
    with pytest.raises(ValueError, match=r"one report has 1, another 2"):
        locked([{"install": [entry("a", "1", "aa")]}, {"install": [entry("A", "2", "bb")]}])

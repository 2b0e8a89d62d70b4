"""Write requirements.lock: every package of an environment with the digests of its files.

pip resolves without installing and says what it would take::

    python -m pip install --dry-run --ignore-installed --quiet --report report.json -c constraints.txt -e '.[dev]'
    python -m tools.lock report.json

Several reports, of several platforms, give a file with the digests of all.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["LOCK", "lock_text", "locked"]

LOCK = Path(__file__).parent.parent / "requirements.lock"
_HEAD = """\
# Written by `make lock`; install with pip install --require-hashes -r requirements.lock, see docs/security.md.
# torch is the build for the processor: --extra-index-url https://download.pytorch.org/whl/cpu
"""


def locked(reports: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """The SHA-256 digests of the files of every requirement, ``name==version``, in pip's reports.

    Raises:
        ValueError: a file without a digest, or versions that differ between the reports.
    """
    found: dict[str, set[str]] = {}
    versions: dict[str, str] = {}
    for report in reports:
        for entry in report["install"]:
            place = entry["download_info"]
            if "dir_info" in place:  # this project itself
                continue
            name, version = entry["metadata"]["name"], entry["metadata"]["version"]
            digest = place.get("archive_info", {}).get("hashes", {}).get("sha256")
            if digest is None:
                raise ValueError(f"{name}: pip's report has no SHA-256 of it")
            if versions.setdefault(name.lower(), version) != version:
                raise ValueError(f"{name}: one report has {versions[name.lower()]}, another {version}")
            found.setdefault(f"{name}=={version}", set()).add(digest)
    return found


def lock_text(requirements: Mapping[str, set[str]]) -> str:
    """The file, in the order of the names.

    Example:
        >>> print(lock_text({"b==1": {"22", "11"}}).splitlines()[-3:])
        ['b==1 \\\\', '    --hash=sha256:11 \\\\', '    --hash=sha256:22']
    """
    lines = (
        " \\\n".join([name, *(f"    --hash=sha256:{digest}" for digest in sorted(digests))])
        for name, digests in sorted(requirements.items(), key=lambda item: item[0].lower())
    )
    return _HEAD + "\n".join(lines) + "\n"


def main(reports: list[str]) -> None:
    """Write the file from reports of pip."""
    requirements = locked(json.loads(Path(report).read_text(encoding="utf-8")) for report in reports)
    LOCK.write_text(lock_text(requirements), encoding="utf-8")
    print(f"wrote {LOCK.name}: {len(requirements)} packages")


if __name__ == "__main__":
    main(sys.argv[1:])

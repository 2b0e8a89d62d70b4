"""Disks that are full after so many bytes, and disks that cannot be written: what becomes of everything that writes?

Runs in a mount namespace of its own with a small file system in memory; nothing of this machine's disks is touched.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import tyro

from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks.faults._writers import Attempt, Writer, attempted, content_of, writers

NOTE = (
    "Each writer writes once to a small tmpfs; then again with room for some pages of memory only, at up to 26 sizes "
    "from none to twice what it needs, and once read-only. full counts the attempts that ended in one sentence, fits "
    "those that found room. A failure is any other end, an old file that is gone, a temporary file left behind, a "
    "sentence without the name of the place, or a run that does not go on once there is room."
)
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOMY = 64 * 2**20
INSIDE = "RANKFOLD_FAULTS_INSIDE"  # set where this process has a mount namespace of its own


class Disk:
    """A file system in memory whose size can change."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs")

    def leave(self, room: int) -> None:
        """Change the size so that this many bytes are free."""
        facts = os.statvfs(self.place)
        used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
        self._mount("-o", f"remount,size={max(used + room, PAGE)}")

    def read_only(self, so: bool) -> None:
        """Refuse all writing, or no longer."""
        self._mount("-o", "remount,ro" if so else f"remount,rw,size={ROOMY}")

    def used(self) -> int:
        """Bytes that files take."""
        facts = os.statvfs(self.place)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.place)], check=True)


def tried(writer: Writer, disk: Disk) -> dict[str, Any]:
    """One writer on disks of every size."""
    row: dict[str, Any] = {"writer": writer.name, "full": 0, "fits": 0, "read_only": 0, "failures": []}
    at = disk.place / "work"

    def fresh() -> None:
        disk.leave(ROOMY)
        subprocess.run(["rm", "-rf", str(at)], check=True)
        at.mkdir()

    fresh()
    before = disk.used()
    first = attempted(writer.write, at)
    assert first.code == 0, first.sentence
    needed = disk.used() - before
    row["pages"] = needed // PAGE
    # The second time temporary files lie beside the old ones, so that up to twice as much may be needed.
    rooms = sorted({round(share * needed / PAGE) * PAGE for share in [n / 12 for n in range(25)]} | {0, PAGE})
    for room in rooms:
        if writer.new:
            fresh()
        old = content_of(at)
        disk.leave(room)
        _judge(writer, disk, at, old, attempted(writer.write, at), f"{room} bytes", row)
    if writer.new:
        fresh()
    old = content_of(at)
    disk.read_only(True)
    attempt = attempted(writer.write, at)
    disk.read_only(False)
    if attempt.code == 2 and content_of(at) == old and len(attempt.sentence.splitlines()) == 1:
        row["read_only"] += 1
    else:
        row["failures"].append(f"read-only: {attempt}")
    return row


def _judge(
    writer: Writer,
    disk: Disk,
    at: Path,
    old: dict[str, bytes],
    attempt: Attempt,
    where: str,
    row: dict[str, Any],
) -> None:
    now = content_of(at)
    left = [name for name in now if ".part" in name] + [path.name for path in at.glob(".*.part")]
    if left:
        row["failures"].append(f"{where}: left {left}")
    if attempt.code == 0:
        row["fits"] += 1
        return
    row["full"] += 1
    if (
        attempt.code != 2
        or len(attempt.sentence.splitlines()) != 1
        or str(disk.place) not in attempt.sentence
    ):
        row["failures"].append(f"{where}: {attempt}")
    disk.leave(ROOMY)
    if writer.resume is not None and now:
        again = attempted(writer.resume, at)
        if again.code != 0:
            row["failures"].append(f"{where}: does not go on: {again}")
    elif writer.new and now:
        row["failures"].append(f"{where}: half of a folder: {sorted(now)}")
    elif not writer.new:
        # A writer of several files may have replaced some, each as a whole.
        lost = [name for name in old if name not in now and not name.endswith(".html")]
        if lost:
            row["failures"].append(f"{where}: lost {lost}")
        again = attempted(writer.write, at)
        if again.code != 0:
            row["failures"].append(f"{where}: not even with room: {again}")


def inside(output: str) -> None:
    """What runs in the namespace."""
    facts = prepare(1)
    torch.manual_seed(0)
    rows = []
    with tempfile.TemporaryDirectory(prefix="rankfold-disk-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        disk = Disk(Path(folder) / "disk")
        try:
            for writer in writers(source):
                rows.append(tried(writer, disk))
                print(rows[-1], flush=True)
        finally:
            subprocess.run(["umount", "-l", str(disk.place)], check=True)
    for row in rows:
        row["failed"] = len(row["failures"])
    write_result(output, {"note": NOTE, **facts, "rows": rows})


def main(output: str = "faults_full_disk") -> None:
    """Fill a disk under every writer.

    Arguments:
        output: name of the result.
    """
    if INSIDE in os.environ:
        inside(output)
        return
    words = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        print("skipped: this machine allows no mount namespaces")
        return
    module = [sys.executable, "-m", "benchmarks.faults.full_disk", *sys.argv[1:]]
    raise SystemExit(
        subprocess.run([*words, *module], env={**os.environ, INSIDE: "1"}, check=False).returncode
    )


if __name__ == "__main__":
    tyro.cli(main)

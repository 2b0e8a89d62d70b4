"""Read hostile inputs with every reader and count what came of it.

An input that does anything but give a value or a sentence is written to ``benchmarks/fuzz/corpus/findings``, where the
tests find it.
"""

import hashlib
import sys
from typing import Any

import torch
import tyro

from benchmarks._results import write_result
from benchmarks.fuzz._reader import CORPUS, folder_of
from benchmarks.fuzz._run import READERS, Tally, fuzz, share_of

NOTE = (
    "Every reader of bytes of others reads damaged and hostile inputs in one process: seeds with bits, pieces, values, "
    "names and sizes exchanged, and crafted ones. accepted: a value came back; refused: one sentence of ours; "
    "a finding is anything else: another error, a warning, 10 seconds, 96 MiB, a file left behind, a changed model, "
    "a page with markup that is not its own."
)


def main(inputs: int = 100_000, seed: int = 0, reader: str = "", write: bool = False) -> None:
    """Fuzz every reader.

    Arguments:
        inputs: of all readers together, at least.
        seed: of the damage.
        reader: only the readers whose names hold this.
        write: write the counts to benchmarks/results/fuzz.json, and findings to the corpus.
    """
    torch.set_num_threads(1)
    rows = []
    for one in READERS:
        if reader not in one.name:
            continue
        tally = fuzz(one, share_of(one, inputs), seed)
        rows.append(_row(one.name, tally))
        print(rows[-1], flush=True)
        _tell(one.name, tally, write)
    total, findings = (sum(row[name] for row in rows) for name in ("inputs", "findings"))
    print(f"{total:,} inputs, {findings} findings")
    if write and not reader:
        seconds = round(sum(row["seconds"] for row in rows), 1)
        command = f"python -m benchmarks.fuzz --inputs {inputs} --seed {seed} --write"
        facts = {"command": command, "note": NOTE, "seed": seed, "inputs": total, "seconds": seconds}
        write_result("fuzz", {**facts, "readers": rows})
    sys.exit(findings > 0)


def _row(name: str, tally: Tally) -> dict[str, Any]:
    refused = {
        kind: count for kind, count in sorted(tally.outcomes.items()) if kind not in ("accepted", "finding")
    }
    return {
        "reader": name,
        "inputs": tally.outcomes.total(),
        "accepted": tally.outcomes["accepted"],
        "refused": refused,
        "findings": tally.outcomes["finding"],
        "seconds": round(tally.seconds, 1),
    }


def _tell(name: str, tally: Tally, write: bool) -> None:
    seen = set()
    for content, finding in tally.findings:
        what = finding.what[:60]
        if what in seen:
            continue
        seen.add(what)
        print(f"  FINDING {finding.what}")
        if write:
            folder = CORPUS / "findings" / folder_of(name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(content).hexdigest()[:12]).write_bytes(content)


if __name__ == "__main__":
    tyro.cli(main)

"""What to do after a decomposition."""

import shlex
from collections.abc import Iterator, Sequence

from rankfold._display import finite
from rankfold.report.page._blocks import Block, Code, Items
from rankfold.report.page._decomposition_record import DecompositionRecord

__all__ = ["next_blocks"]

_HEALTHY = 50.0  # per cent of core consistency: Bro and Kiers 2003, "A new efficient method for determining the number
# of components in PARAFAC models", call models below it problematic or invalid
_PARTS = {
    "cp": ("weights", "factors"),
    "tucker": ("core", "factors"),
    "tt": ("cores",),
}  # of what a file gives


def next_blocks(records: Sequence[DecompositionRecord], paths: Sequence[str]) -> Iterator[Block]:
    """What the numbers suggest, then how to read the parts in Python.

    Arguments:
        records: at least one decomposition.
        paths: of their folders as they would be typed.
    """
    several = len(records) > 1
    sentences = [
        f"{record.name}: {sentence}" if several else sentence
        for record in records
        for sentence in _advice(record)
    ]
    if not several:
        sentences.append(
            "Compare with other settings: decompose again with another --out and pass both folders to rankfold report."
        )
    if sentences:
        yield Items(tuple(sentences))
    for record, path in zip(records, paths, strict=True):
        parts = ", ".join(f"parts.{name}" for name in _PARTS.get(str(record.summary["format"]), ()))
        file = f"{shlex.split(path)[0]}/factors.safetensors"
        yield Code(
            f"import rankfold\nparts = rankfold.load_decomposition({file!r}){f'; {parts}' if parts else ''}",
            f"The parts{f' of {record.name}' if several else ''} in Python",
        )


def _advice(record: DecompositionRecord) -> Iterator[str]:
    summary = record.summary
    if summary.get("interrupted"):
        yield "The search was interrupted; run the command below again to let it end."
    agreement = summary.get("agreement")
    if agreement and not agreement.get("reached"):
        yield f"The components are {agreement['sentence']}: --restarts 10 would tell whether they come again."
    consistency = finite(summary.get("core_consistency"))
    if consistency is not None and consistency < _HEALTHY:
        yield (
            f"The core consistency is {consistency:.1f} %, below {_HEALTHY:g} %: components mix with each other; look "
            "at one component less with --rank."
        )
    if summary.get("degeneracy", {}).get("suspected"):
        yield "Two components nearly cancel: try --nonnegative where that makes sense, or a lower --rank."

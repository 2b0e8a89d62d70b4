"""Readers of what runs left, with the pages that are made of it."""

import shlex
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.fuzz._containers import safetensors_mutator
from benchmarks.fuzz._hostile import NAMES
from benchmarks.fuzz._mutate import Mutator, json_lines_mutator, json_mutator, text_mutator
from benchmarks.fuzz._page import check_page
from benchmarks.fuzz._reader import Reader
from rankfold.cli._input_shapes import read_input_shapes
from rankfold.cli._report_sources import source_of
from rankfold.cli._run_folder import RunFolder
from rankfold.convert import parse_policy
from rankfold.layers import _machine
from rankfold.report.page import render_page
from rankfold.studies import STUDIES, StudyFolder

__all__ = ["RECORD_READERS"]

# Of the records that are read, one of so many is drawn as well: that takes ten times as long.
_DRAWN = 4
_LONG = 10_000_000  # bytes of an input, of which none of the corpus has so many


def _paged(kind: str, file: str, place: str = ".") -> Callable[[Path], object]:
    """Read a record, make its page, and look whether anything on it is not text."""

    def read(folder: Path) -> object:
        path, input_ = folder / place, folder / file
        source = source_of(path)
        if source.name != kind:
            return None  # the input has become a file of another kind
        size = input_.stat().st_size if input_.is_file() else 0
        number = zlib.crc32(input_.read_bytes()) if 0 < size < _LONG else 0
        name = NAMES[number % len(NAMES)]
        record = source.read(path, name)
        page = source.page([record], [shlex.quote(str(path))])
        if number % _DRAWN == 0:
            check_page(render_page(page))
            check_page(
                render_page(source.page([record, record], [shlex.quote(str(path)), shlex.quote(name)]))
            )  # side by side
        return None

    return read


def _of_run(file: str, mutate: Mutator, share: int) -> Reader:
    return Reader(name=f"run: {file}", file=file, read=_paged("train", file), mutate=mutate, share=share)


def _study(folder: Path) -> object:
    return StudyFolder(folder).read(STUDIES["bad-minimum"])


def _machine_file(folder: Path) -> object:
    _machine._known.cache_clear()
    path, _machine._path = _machine._path, lambda: folder / "machine.json"
    try:
        return _machine.machine_for("cpu")
    finally:
        _machine._path = path
        _machine._known.cache_clear()


def _words(folder: Path) -> object:
    """Words of the command line that have a grammar of their own."""
    text = (folder / "words.txt").read_text(encoding="utf-8", errors="replace")
    kind, _, words = text.partition("\n")
    if kind == "shape":
        return read_input_shapes("lenet", tuple(words.split()))
    return parse_policy(words)


def _study_texts() -> dict[str, bytes]:
    return {"nothing": b"", "deep": b"[" * 100_000, "list": b"[]", "bom": b"\xef\xbb\xbf{}"}


RECORD_READERS = (
    Reader(
        name="run: config.json",
        file="config.json",
        read=lambda folder: RunFolder(folder).read_config(),
        mutate=json_mutator,
        share=12,
        crafted=_study_texts,
    ),
    _of_run("metrics.jsonl", json_lines_mutator, 5),
    _of_run("ranks.jsonl", json_lines_mutator, 5),
    _of_run("diagnostics.jsonl", json_lines_mutator, 5),
    _of_run("times.json", json_mutator, 4),
    _of_run("failure.json", json_mutator, 4),
    Reader(
        name="run: model.safetensors",
        file="model.safetensors",
        read=_paged("train", "model.safetensors"),
        mutate=safetensors_mutator,
        share=1,
    ),
    Reader(
        name="decomposition: summary.json",
        file="summary.json",
        read=_paged("decompose", "summary.json"),
        mutate=json_mutator,
        share=6,
        crafted=_study_texts,
    ),
    Reader(
        name="compression record",
        file="net.compression.json",
        read=_paged("compress", "net.compression.json", "net.compression.json"),
        mutate=json_mutator,
        share=6,
        crafted=_study_texts,
    ),
    Reader(
        name="study.json",
        file="study.json",
        read=_paged("study", "study.json"),
        mutate=json_mutator,
        share=6,
        crafted=_study_texts,
    ),
    Reader(
        name="study to go on with",
        file="study.json",
        read=_study,
        mutate=json_mutator,
        share=4,
        crafted=_study_texts,
    ),
    Reader(
        name="figure of a study",
        file="figure.svg",
        read=_paged("study", "figure.svg"),
        mutate=text_mutator(("<script>", "]]>", "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "&x;")),
        share=1,
    ),
    Reader(
        name="figures of bench-layer",
        file="layer.json",
        read=_paged("bench-layer", "layer.json", "layer.json"),
        mutate=json_mutator,
        share=6,
        crafted=_study_texts,
    ),
    Reader(
        name="diagnostics.jsonl",
        file="diagnostics.jsonl",
        read=_paged("diagnostics", "diagnostics.jsonl", "diagnostics.jsonl"),
        mutate=json_lines_mutator,
        share=5,
    ),
    Reader(
        name="speeds of the machine", file="machine.json", read=_machine_file, mutate=json_mutator, share=4
    ),
    Reader(
        name="words of policies and shapes",
        file="words.txt",
        read=_words,
        mutate=text_mutator(
            ("1e999", "nan", "-1", "9" * 5000, "params=", "=", "x", "int64:", "budget", "1x1x1", "0.5")
        ),
        share=8,
    ),
)

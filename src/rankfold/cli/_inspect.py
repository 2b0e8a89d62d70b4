"""``rankfold inspect``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from rankfold._checkpoint import read_layouts
from rankfold._errors import CheckpointError
from rankfold.cli._compress_files import read_compression
from rankfold.cli._console import make_console
from rankfold.cli._file_content import read_content
from rankfold.cli._inspect_config import InspectConfig
from rankfold.cli._inspect_network import inspect_network
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._stored_config import to_plain
from rankfold.report import (
    compression_report,
    facts_table,
    layer_rows,
    layers_table,
    ranks_table,
    saved_share,
    tensors_table,
)

__all__ = ["inspect"]


def inspect(config: InspectConfig) -> None:
    """Print what a run or a file holds.

    Arguments:
        config: says which.

    Raises:
        CheckpointError: neither a run nor a readable file.
        RankfoldError: a network that cannot be built or run.
    """
    console = make_console()
    if config.model is not None:
        inspect_network(config, console)
    elif config.path.is_dir():
        _inspect_run(RunFolder(config.path), console)
    elif config.path.suffix == ".json":
        _inspect_compression(config.path, console)
    elif config.path.exists():
        _inspect_file(config.path, console)
    else:
        raise CheckpointError(
            f"inspect: {config.path}: there is no such file or folder; pass the folder of a run, or a file that "
            "rankfold wrote."
        )


def _inspect_run(folder: RunFolder, console: Console) -> None:
    if (folder.path / "summary.json").is_file():
        raise CheckpointError(
            f"inspect: {folder.path}: holds a decomposition, which has a page instead; use rankfold report, or "
            "rankfold.load_decomposition in Python."
        )
    settings = folder.read_config()
    metrics, ranks = folder.read_lines(folder.metrics), folder.read_lines(folder.ranks)
    layouts = read_layouts(folder.model) if folder.model.exists() else {}
    history = _history(ranks, folder)
    console.print(facts_table(f"Settings of {folder.path}", to_plain(settings)))
    if metrics:
        console.print(facts_table("Last epoch", {key: _short(value) for key, value in metrics[-1].items()}))
    else:
        console.print("No epoch is complete yet.")
    if history:
        console.print(ranks_table(history))
    if layouts:
        console.print(layers_table(layer_rows(layouts)))


def _inspect_compression(file: Path, console: Console) -> None:
    record = read_compression(file)
    try:
        report = compression_report(record)
        command = str(record["command"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file}: the record is damaged ({type(error).__name__}: {error}); restore the file."
        ) from None
    console.print(command, soft_wrap=True)
    console.print(report)


def _inspect_file(file: Path, console: Console) -> None:
    content = read_content(file)
    rows = layer_rows(content.layouts)
    facts = {"kind": content.kind, "tensors": len(content.tensors), "numbers": f"{content.numbers:,}"}
    if content.training_numbers:
        facts["training state"] = f"{content.training_numbers:,} numbers"
    if rows:
        facts["compression"] = f"{saved_share(rows):.1%} fewer parameters in the factorised layers"
    console.print(facts_table(str(file), facts))
    console.print(layers_table(rows) if rows else tensors_table(content.tensors))


def _history(lines: list[dict[str, Any]], folder: RunFolder) -> dict[str, tuple[list[int], list[int], int]]:
    """First ranks, last ranks and number of changes of each layer."""
    history: dict[str, tuple[list[int], list[int], int]] = {}
    try:
        for line in lines:
            first, _, changes = history.get(line["layer"], (line["ranks_before"], [], 0))
            changed = list(line["ranks"]) != list(line["ranks_before"])
            history[line["layer"]] = (list(first), list(line["ranks"]), changes + changed)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder.ranks}: a line lacks {error}; restore the file.") from None
    return history


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

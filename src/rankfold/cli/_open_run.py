"""Start a run, or take one up where its checkpoint left it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rankfold._atomic import remove_leftovers
from rankfold._checkpoint._fallback import set_aside
from rankfold._errors import CheckpointError, RankfoldError
from rankfold.cli._build import build_monitor, build_network, build_optimizer, load_data
from rankfold.cli._new_folder import make_new, place_of_new
from rankfold.cli._random_state import restore_random_state
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig
from rankfold.cli._training_run import RankLog, TrainingRun
from rankfold.training import Progress

__all__ = ["resume_run", "start_run"]

# What is read again from the lines of the files.
_OF_METRICS = {"test_accuracy", "parameters", "compression"}
_OF_RANKS = {"layer"}
_OF_DIAGNOSTICS = {"layer", "step"}


def start_run(config: TrainConfig) -> TrainingRun:
    """Build everything anew; the folder is made last, so that a mistake leaves none behind.

    Raises:
        RankfoldError: settings, data or folder do not allow the run.
    """
    folder = place_of_new(config)
    folder.require_free()
    run = _built(config, folder)
    make_new(folder, config)
    return run


def resume_run(config: TrainConfig, tell: Callable[[str], object]) -> TrainingRun:
    """Build everything as at the start of the run, and bring it to the batch where it was interrupted.

    Lines of the .jsonl files that the checkpoint does not know are forgotten: their epochs come again. Where the newest
    checkpoint is damaged or missing the one before takes its place.

    Arguments:
        config: settings, with the folder.
        tell: called with a sentence for every checkpoint that is passed over.

    Raises:
        CheckpointError: a file is missing, damaged, or does not belong to the others.
        RankfoldError: settings or data do not allow the run.
    """
    assert config.resume is not None
    folder = RunFolder(config.resume)
    found = folder.read_checkpoint()
    run = _built(replace(config, resume=None), folder)
    try:
        if found is not None:  # else it was killed before its first batch, and starts there
            _restore(run, found.content)
    except RankfoldError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        # The file is whole, or reading it would have failed; so its content belongs to something else.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        path = folder.checkpoint if found is None else found.path
        raise CheckpointError(
            f"{path}: the state does not fit the settings in {folder.config.name} ({reason}); "
            "restore both files from the same run."
        ) from error
    if found is not None and found.path != folder.checkpoint:
        for sentence in found.damaged.values() or [f"{folder.checkpoint}: there is no such file."]:
            tell(f"{sentence.rstrip('.')}; goes on from {found.path.name}.")
        set_aside(list(found.damaged))
    if not run.complete:
        remove_leftovers(folder.path)
        folder.write_config(run.config)
    return run


def _built(config: TrainConfig, folder: RunFolder) -> TrainingRun:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    data = load_data(config)
    model = build_network(config, data.dataset)
    log = RankLog()
    optimizer, scheduler = build_optimizer(config, model, data.batches_per_epoch, log.add)
    # It remembers the weights at the start, also of a run that is taken up again: these are drawn anew above.
    monitor = build_monitor(model, data) if config.diagnose else None
    return TrainingRun(config, folder, data, model, optimizer, scheduler, log, monitor)


def _restore(run: TrainingRun, state: dict[str, Any]) -> None:
    # The model's state brings its ranks and must come before that of TDLRT, but after TDLRT was built: that brings
    # cores to HOSVD form, which those in the middle of a cycle do not have and must not get.
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.progress = Progress(**state["progress"])
    run.metrics = _first_lines(run.folder, run.folder.metrics, state["lines"]["metrics"], _OF_METRICS)
    run.rank_log.lines = _first_lines(run.folder, run.folder.ranks, state["lines"]["ranks"], _OF_RANKS)
    known = state["lines"].get("diagnostics", 0)  # older runs have none
    run.diagnosed = _first_lines(run.folder, run.folder.diagnostics, known, _OF_DIAGNOSTICS)
    run.earlier = float(state["elapsed"])
    restore_random_state(state["random"])


def _first_lines(folder: RunFolder, file: Path, known: int, needed: set[str]) -> list[dict[str, Any]]:
    lines = folder.read_lines(file)
    if len(lines) < known:
        raise CheckpointError(
            f"{file}: {len(lines)} lines, but the checkpoint knows {known}; restore the file or start a new run."
        )
    for line in lines[:known]:
        if not needed <= set(line):
            raise CheckpointError(f"{file}: a line lacks {min(needed - set(line))!r}; restore the file.")
    return lines[:known]

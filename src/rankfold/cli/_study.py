"""``rankfold study``."""

import platform
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from rankfold import __version__
from rankfold._errors import CheckpointError, RankfoldError
from rankfold.cli._check_config import chosen_device
from rankfold.cli._console import make_console
from rankfold.cli._interrupt import Interrupted, code_of_abort
from rankfold.cli._report import leave_page
from rankfold.cli._report_config import PAGE
from rankfold.cli._study_config import StudyConfig
from rankfold.report import StagesDisplay, records_table
from rankfold.studies import (
    STUDIES,
    Setting,
    Study,
    StudyFolder,
    StudyRun,
    Unavailable,
    judge,
    run_study,
    summary_of,
    write_index,
)

__all__ = ["study"]

_THEN = ", then "
_WRITE_EVERY = 5.0  # seconds; a run that is killed loses no more than this


def study(config: StudyConfig) -> None:
    """Run studies, leave a folder for each, and say how the claims fared.

    Arguments:
        config: checked settings.

    Raises:
        RankfoldError: a folder holds something else, or some cases could not be run.
        Interrupted: someone asked to stop; what was run is written.
    """
    console = make_console()
    if config.list:
        console.print(
            records_table("Studies", [{"study": one.name, "claim": one.claim} for one in STUDIES.values()])
        )
        return
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    chosen = [STUDIES[name] for name in (STUDIES if config.all else config.names)]
    begun = [(one, _begun(config, one)) for one in chosen]
    incomplete: list[str] = []
    summaries = []
    for one, run in begun:
        folder = config.out / one.name
        if run.rows:
            text = f"{one.name}: {len(run.rows)} cases are in {folder} already; --overwrite runs them anew"
            console.print(Text(text), soft_wrap=True)
        run, page = _run(config, one, run, console)
        write_index(STUDIES, config.out)
        summaries.append(summary_of(one, run))
        console.print(_line(summaries[-1]), soft_wrap=True)
        failed = [finding.name for finding in judge(one.checks, run.records(one)) if finding.holds is False]
        if failed:
            console.print(Text(f"  did not hold: {', '.join(failed)}"), soft_wrap=True)
        console.print(Text(f"  page: {page}"), soft_wrap=True)
        if run.missing:
            first = run.missing[0].reason
            console.print(Text(f"  {len(run.missing)} cases could not be run: {first}"), soft_wrap=True)
            incomplete.append(one.name)
    if len(summaries) > 1:
        console.print(records_table("Verdicts", summaries))
    console.print(Text(f"all studies: {config.out / 'README.md'}"), soft_wrap=True)
    if incomplete:
        raise Unavailable(
            f"study: some cases of {', '.join(incomplete)} could not be run here, for the reasons above; what depends "
            "on them is not decided."
        )


def _begun(config: StudyConfig, one: Study) -> StudyRun:
    """What the folder of a study holds of this run already.

    Raises:
        CheckpointError: it holds a run with other settings.
    """
    size = "full" if config.full else "quick"
    parameters = dict(one.full if config.full else one.quick)
    if config.seed is not None:
        parameters["seed"] = config.seed
    fresh = StudyRun(
        study=one.name, size=size, parameters=parameters, command=_command(config, one), facts=_facts(config)
    )
    if config.overwrite:
        return fresh
    folder = StudyFolder(config.out / one.name)
    stored = folder.read(one)
    if stored is None:
        return fresh
    if (stored.size, stored.parameters) != (size, parameters):
        raise CheckpointError(
            f"{folder.path}: holds a run of other settings ({stored.size} size, seed {stored.parameters.get('seed')}); "
            "name another folder with --out, or replace it with --overwrite."
        )
    if not stored.rows:
        return fresh
    if not stored.records(one).missing:
        return stored  # nothing is run any more, so this command and this machine have no part in it
    facts = _joined(stored.facts, fresh.facts)
    return replace(fresh, rows=stored.rows, seconds=stored.seconds, facts=facts)


def _run(config: StudyConfig, one: Study, run: StudyRun, console: Console) -> tuple[StudyRun, Path]:
    """The run, and the page of it to read."""
    folder = StudyFolder(config.out / one.name)
    state, written = run, time.monotonic()

    with StagesDisplay(console) as display:

        def show(text: str) -> None:
            display.show(f"{one.name}: {text}" if text else one.name, done=len(state.rows), total=total)

        def after_case(now: StudyRun, done: int, count: int) -> None:
            nonlocal state, written
            state = now
            display.show(one.name, done=done, total=count)
            if time.monotonic() - written >= _WRITE_EVERY:
                folder.write_records(one, state)
                written = time.monotonic()

        total = len(one.cases(run.parameters))
        setting = Setting(data_dir=config.data_dir, device=chosen_device(config.device), progress=show)
        try:
            state = run_study(one, run, setting, after_case=after_case)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(
                f"interrupted; {len(state.rows)} of {total} cases of {one.name} are in {folder.path}, the same command "
                "goes on with the others.",
                code_of_abort(interrupt, kept=True),
            ) from None
        except RankfoldError as error:
            raise type(error)(f"study {one.name}: {error}") from None
        finally:
            folder.write_records(one, state)
            no_figure, no_page = folder.write_pages(one, state), leave_page(folder.path, folder.path)
    for sentence in (no_figure, no_page):
        if sentence is not None:
            console.print(Text(sentence), soft_wrap=True)
    return state, folder.card if no_page is not None else folder.path / PAGE


def _line(summary: dict[str, object]) -> Text:
    return Text(
        f"{summary['study']}: {summary['verdict']} ({summary['checks']}), {summary['cases']} cases, "
        f"{summary['seconds']} s"
    )


def _command(config: StudyConfig, one: Study) -> str:
    words = ["rankfold", "study", one.name]
    words += ["--full"] if config.full else []
    words += [] if config.seed is None else ["--seed", str(config.seed)]
    words += [] if config.threads is None else ["--threads", str(config.threads)]
    return shlex.join(words)


def _joined(before: Mapping[str, object], now: Mapping[str, object]) -> dict[str, object]:
    """Facts of a run in parts: where they differ, one after the other."""
    facts = dict(now)
    for name, value in before.items():
        latest = str(now.get(name))
        facts[name] = value if str(value).split(_THEN)[-1] == latest else f"{value}{_THEN}{latest}"
    return facts


def _facts(config: StudyConfig) -> dict[str, str | int]:
    return {
        "rankfold": __version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(chosen_device(config.device)),
        "threads": torch.get_num_threads(),
    }

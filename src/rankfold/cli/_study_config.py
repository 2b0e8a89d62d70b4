"""The settings of ``rankfold study``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.studies import STUDIES

__all__ = ["StudyConfig", "checked_study"]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Run claims of the literature and judge them; a run that was stopped goes on where it was.

    Arguments:
        names: of the studies to run.
        list: show all studies with their claims and run none.
        all: run all studies, one after the other.
        full: run the full size, larger and slower, instead of the quick one.
        out: folder that gets a folder per study, with report.html and card.md to read, figures and study.json, and a
            README.md of all.
        overwrite: run studies anew whose cases are in --out already.
        seed: the first seed; None means that of the study.
        data_dir: folder to search for data sets first.
        device: where networks are trained: cpu, cuda, or auto for cuda where there is one.
        threads: CPU threads; None leaves the choice to PyTorch.
    """

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="NAME...", help=f"studies to run: {', '.join(STUDIES)}.", help_behavior_hint=""
        ),
    ] = ()
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    all: tyro.conf.FlagCreatePairsOff[bool] = False
    full: tyro.conf.FlagCreatePairsOff[bool] = False
    out: Path = Path("runs/studies")
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    seed: int | None = None
    data_dir: Path | None = None
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"
    threads: int | None = None


def checked_study(config: StudyConfig) -> StudyConfig:
    """The settings, found to be in range, and the names known, before anything is run.

    Raises:
        OptionError: the first setting that is out of range or unknown, or no word on what to run.
    """
    for name in config.names:
        STUDIES[name]
    if len({*config.names}) < len(config.names):
        raise OptionError("study: a study is named twice; name each once.")
    chosen = [bool(config.names), config.all, config.list]
    if sum(chosen) != 1:
        raise OptionError(
            f"study: got {'several' if sum(chosen) else 'none'} of names of studies, --all and --list, allowed is one; "
            f"{'leave the others out' if sum(chosen) else 'rankfold study --list shows the names'}."
        )
    for flag, value, fits, allowed in (
        (
            "seed",
            config.seed,
            config.seed is None or 0 <= config.seed < 2**31,
            "a whole number from 0 to 2^31 - 1",
        ),
        ("threads", config.threads, config.threads is None or config.threads >= 1, "at least 1"),
    ):
        if not fits:
            raise OptionError(f"study: --{flag} is {value}, allowed is {allowed}; choose such a value.")
    chosen_device(config.device)
    return config

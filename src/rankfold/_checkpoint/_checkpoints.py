"""The last few checkpoints of a training loop, in a folder."""

import contextlib
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rankfold._atomic import remove_leftovers
from rankfold._checkpoint._fallback import newest_whole, set_aside
from rankfold._checkpoint._file import damage, read_file, write_file
from rankfold._checkpoint._load import load_content
from rankfold._checkpoint._random_state import random_states_of_all, restore_random_states
from rankfold._checkpoint._save import content_of
from rankfold._checkpoint._trainer import RUN, taken_state
from rankfold._checkpoint._tree import encode
from rankfold._checks import check_count, check_path
from rankfold._collectives import workers_of
from rankfold._errors import CheckpointError
from rankfold.layers import require_module

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["Checkpoints", "RestoredCheckpoint"]

_NAME = re.compile(r"step-\d{10,}\.safetensors", re.ASCII)
_Content = tuple[dict[str, Tensor], dict[str, Any]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RestoredCheckpoint:
    """Where a training loop goes on.

    Arguments:
        step: the number that was given to :meth:`Checkpoints.save`.
        extra: what was given as ``extra``; tuples have become lists.
        path: of the file.
        damaged: a sentence for every newer checkpoint that is damaged, the newest first; each was renamed to
            ``NAME.damaged``.
    """

    step: int
    extra: Any
    path: Path
    damaged: tuple[str, ...]


class Checkpoints:
    """Keeps the last few checkpoints of a training loop in a folder, and goes on from the newest that is whole.

    Each is one file of :func:`rankfold.save` with model, optimiser, schedule, the step, the random states of torch,
    NumPy and Python, and what you give as ``extra``. A loop that draws its samples from these generators, or whose
    position in the data is in ``extra``, goes on with the numbers of the uninterrupted one, bit for bit. A process that
    is killed while it writes leaves the checkpoints before.

    Under torch.distributed every worker calls :meth:`save` and :meth:`restore` with the same arguments; the first one
    writes, all wait until it has, and all read the same file. The folder must be one that all of them see, and
    belongs to one run.

    Arguments:
        folder: made by the first :meth:`save`.
        keep: number of checkpoints, at least 1; older ones are removed once a newer one is on the disk.
        group: the process group; None means the default one, or none.

    Raises:
        OptionError: an argument out of range.

    Example:
        >>> import tempfile, torch, rankfold as rf
        >>> model = torch.nn.Sequential(torch.nn.Linear(20, 10))
        >>> _ = rf.factorize(model, 2)
        >>> optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1)
        >>> checkpoints = rf.Checkpoints(tempfile.mkdtemp(), keep=2)
        >>> checkpoints.restore(model, optimizer=optimizer) is None
        True
        >>> for step in range(1, 4):
        ...     optimizer.zero_grad()
        ...     model(torch.randn(8, 20)).square().mean().backward()
        ...     optimizer.step()
        ...     path = checkpoints.save(model, step, optimizer=optimizer)
        >>> checkpoints.restore(model, optimizer=optimizer).step, len(checkpoints.paths())
        (3, 2)
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, keep: int = 3, group: "ProcessGroup | None" = None
    ) -> None:
        check_path("Checkpoints", folder)
        check_count("Checkpoints", "keep", keep)
        workers_of(group)
        self.folder, self.keep, self.group = Path(folder), keep, group

    def paths(self) -> list[Path]:
        """The files, the newest first; whether they are whole is seen when they are read."""
        try:
            found = [file for file in self.folder.iterdir() if _NAME.fullmatch(file.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: cannot be read as a folder ({error.strerror}); name another."
            ) from None
        return sorted(found, key=_step_of, reverse=True)

    def save(
        self,
        model: nn.Module,
        step: int,
        *,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        extra: Any = None,
    ) -> Path:
        """Write a checkpoint, and remove those that are too many.

        Arguments:
            model: what is trained; of a wrapper such as DDP its ``module``.
            step: how far the loop is, at least 0; no checkpoint of the folder may be of a later one.
            optimizer, scheduler: None, or what trains it.
            extra: nested dictionaries and lists of tensors, numbers, strings, booleans and None, such as the state
                of a sampler or of a ``GradScaler``.

        Returns:
            The file.

        Raises:
            CheckpointError: it cannot be written, or the folder holds a later step; the other checkpoints are as
                before.
            OptionError: a step that is no whole number of 0 or more.
        """
        require_module(model, "Checkpoints.save")
        check_count("Checkpoints.save", "step", step, 0)
        workers, device = workers_of(self.group), _device_of(model)
        path = self.folder / f"step-{step:010d}.safetensors"
        if not workers.alike(path.name, device):
            raise CheckpointError(
                f"{path}: another worker saves another step; call save at the same step on each."
            )
        random = random_states_of_all(workers, device)

        def write() -> None:
            if workers.rank > 0:
                return
            newest = next(iter(self.paths()), path)
            if _step_of(newest) > step:
                raise CheckpointError(
                    f"{path}: the folder holds a later checkpoint ({newest.name}); call restore before the loop, or "
                    "name another folder."
                )
            self._make()
            tensors, header = content_of(model, path, optimizer=optimizer, scheduler=scheduler)
            states: dict[str, Tensor] = {}
            run = {"step": step, "extra": extra, "random": random}
            header[RUN] = {"tree": encode(run, states, f"{RUN}:")}
            write_file(path, tensors | states, header)
            remove_leftovers(self.folder)
            for old in self.paths()[self.keep :]:
                with contextlib.suppress(OSError):  # one too many is no loss
                    old.unlink()

        self._together(write, path, device)
        return path

    def restore(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
    ) -> RestoredCheckpoint | None:
        """Load the newest checkpoint that is whole, and set the random states.

        One that is damaged is renamed, and a ``UserWarning`` says what is wrong with it.

        Arguments:
            model, optimizer, scheduler: built as those that were saved, the model at any ranks.

        Returns:
            Where to go on, or None if there is no checkpoint; then nothing was changed.

        Raises:
            CheckpointError: all checkpoints are damaged, or the newest whole one does not fit what is given, or is of
                a later version of this library; nothing was changed.
        """
        require_module(model, "Checkpoints.restore")
        workers, device = workers_of(self.group), _device_of(model)
        paths = self._together(self.paths, self.folder, device)
        if not workers.alike(str([path.name for path in paths]), device):
            raise CheckpointError(
                f"{self.folder}: the workers see different checkpoints; name a folder that all of them share."
            )
        if not paths:
            return None

        def load() -> RestoredCheckpoint:
            tensors, header = found.content
            run = _checked_run(taken_state(header, RUN, dict(tensors), True, found.path), found.path)
            load_content(model, tensors, header, found.path, optimizer=optimizer, scheduler=scheduler)
            restore_random_states(run["random"], workers)
            return RestoredCheckpoint(run["step"], run["extra"], found.path, tuple(found.damaged.values()))

        found = newest_whole(paths, _read, lambda here: workers.any(here, device))
        restored = self._together(load, found.path, device)
        if workers.rank == 0:
            set_aside(list(found.damaged))
        if found.damaged:
            workers.any(False, device)  # whoever looks into the folder next sees the new names
        for sentence in restored.damaged:
            warnings.warn(
                f"{sentence.rstrip('.')}; goes on from {found.path.name}.", UserWarning, stacklevel=2
            )
        return restored

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: the folder cannot be made ({error.strerror}); name another."
            ) from None

    def _together(self, act: Callable[[], _T], path: Path, device: torch.device) -> _T:
        """Act on every worker; where it goes wrong for one, it does for all."""
        workers = workers_of(self.group)
        result: _T | None = None
        failure: Exception | None = None
        try:
            result = act()
        except Exception as error:
            failure = error
        if not workers.any(failure is not None, device):
            return result  # pyright: ignore[reportReturnType]
        raise failure or CheckpointError(f"{path}: went wrong on another worker; its message says why.")


def _step_of(file: Path) -> int:
    return int(file.stem.removeprefix("step-"))


def _read(path: Path) -> _Content:
    tensors, header = read_file(path)
    if header is None:
        raise damage(f"{path}: the file is damaged or was not written by Checkpoints; remove it.")
    return tensors, header


def _checked_run(run: Any, path: Path) -> dict[str, Any]:
    """The part that is not about the model, with what :func:`restore_random_states` relies on."""
    random = run.get("random") if isinstance(run, dict) else None
    if (
        not isinstance(random, dict)
        or not {"torch", "cuda", "python"} <= set(random)
        or not all(isinstance(state, Tensor) and state.ndim > 1 for state in random.values())
        or type(run.get("step")) is not int
    ):
        raise CheckpointError(f"{path}: the file holds no state of a run; it was not written by Checkpoints.")
    return run


def _device_of(model: nn.Module) -> torch.device:
    """To send by: where the model is, which its backend can reach."""
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))

"""The files of a run; every one is complete under its name or not there at all."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankfold._checkpoint import atomic_path, load_state, save_state
from rankfold._checkpoint._fallback import WholeFile, newest_whole
from rankfold._checkpoint._words import brief
from rankfold._errors import CheckpointError
from rankfold._json_files import parse_json, read_text
from rankfold.cli._stored_config import from_json, to_json
from rankfold.cli._train_config import TrainConfig

__all__ = ["RunFolder"]

_OLDER = re.compile(r"checkpoint-[1-9][0-9]{0,9}\.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """A folder with config.json, metrics.jsonl, ranks.jsonl, model.safetensors, checkpoint.safetensors, the checkpoint
    before in checkpoint-2.safetensors and so on, where it was asked for diagnostics.jsonl, and, after the end of the
    run, times.json or failure.json.

    Arguments:
        path: the folder.
    """

    path: Path

    @property
    def model(self) -> Path:
        """The model at its exact ranks after the last whole epoch."""
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.path / "checkpoint.safetensors"

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def ranks(self) -> Path:
        """One line per truncation that changed the ranks of a layer, and for each layer its first."""
        return self.path / "ranks.jsonl"

    @property
    def diagnostics(self) -> Path:
        """One line per layer after every epoch that was diagnosed."""
        return self.path / "diagnostics.jsonl"

    @property
    def times(self) -> Path:
        """What the layers of the trained network take, dense and now."""
        return self.path / "times.json"

    @property
    def failure(self) -> Path:
        """Why the run ended before its time; gone when it goes on."""
        return self.path / "failure.json"

    @property
    def tensorboard(self) -> Path:
        """The folder of curves for TensorBoard."""
        return self.path / "tensorboard"

    def require_free(self) -> None:
        """Raise CheckpointError if the folder holds a run already."""
        present = [file.name for file in self._files if file.exists()]
        if present:
            raise CheckpointError(
                f"{self.path}: the folder holds a run already ({present[0]}); name another with --out, or go on "
                f"with --resume {self.path}."
            )

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the settings.

        Raises:
            CheckpointError: the folder holds a run already, or cannot be made.
        """
        self.require_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: the folder cannot be made ({error.strerror}); name another with --out."
            ) from None
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """Write config.json."""
        _write_text(self.config, to_json(config))

    def read_config(self) -> TrainConfig:
        """Read config.json.

        Raises:
            CheckpointError: the folder holds no run, or the file is damaged.
        """
        if not self.config.is_file():
            raise CheckpointError(
                f"{self.path}: there is no run here (no config.json); pass the folder of a run."
            )
        return from_json(_read_text(self.config), self.config)

    def write_lines(self, file: Path, lines: Iterable[dict[str, Any]]) -> None:
        """Write a .jsonl file anew, one object per line."""
        _write_text(file, "".join(json.dumps(line) + "\n" for line in lines))

    def read_lines(self, file: Path) -> list[dict[str, Any]]:
        """Read a .jsonl file; none is as good as an empty one.

        Raises:
            CheckpointError: a line that is no JSON object.
        """
        if not file.is_file():
            return []
        try:
            lines = [parse_json(line) for line in _read_text(file).splitlines()]
        except ValueError as error:
            raise CheckpointError(
                f"{file}: not readable as JSON ({brief(error)}); restore the file."
            ) from None
        if not all(isinstance(line, dict) for line in lines):
            raise CheckpointError(f"{file}: a line is not a JSON object; restore the file.")
        return lines

    def write_record(self, file: Path, record: dict[str, Any]) -> None:
        """Write a .json file anew."""
        _write_text(file, json.dumps(record, indent=1) + "\n")

    def read_record(self, file: Path) -> dict[str, Any] | None:
        """Read a .json file; None where there is none.

        Raises:
            CheckpointError: no JSON object.
        """
        if not file.is_file():
            return None
        try:
            record = parse_json(_read_text(file))
        except ValueError as error:
            raise CheckpointError(
                f"{file}: not readable as JSON ({brief(error)}); restore the file."
            ) from None
        if not isinstance(record, dict):
            raise CheckpointError(f"{file}: this is no JSON object; restore the file.")
        return record

    def write_checkpoint(self, tree: dict[str, Any], keep: int) -> None:
        """Write checkpoint.safetensors; the one before becomes checkpoint-2.safetensors, and so on.

        Arguments:
            tree: the state.
            keep: number of checkpoints from now on, at least 1.
        """
        with atomic_path(self.checkpoint) as temporary:
            save_state(temporary, tree)
            # Only now, so that a disk that is full takes none of them. A process that is killed in between leaves a
            # gap, which the next one skips.
            for number, file in sorted(self.checkpoints().items(), reverse=True):
                if number < keep:
                    _make_older(file, self.path / f"checkpoint-{number + 1}.safetensors", stays=number == 1)
        for number, file in self.checkpoints().items():
            if number > keep:
                file.unlink(missing_ok=True)

    def read_checkpoint(self) -> WholeFile[dict[str, Any]] | None:
        """Read the newest checkpoint that is whole; None where the run was killed before its first.

        Raises:
            CheckpointError: there is none, or all are damaged.
        """
        paths = [file for _, file in sorted(self.checkpoints().items())]
        if not paths and not self.model.exists() and not self.read_lines(self.metrics):
            return None
        return newest_whole(paths or [self.checkpoint], load_state)

    def checkpoints(self) -> dict[int, Path]:
        """The checkpoints that there are, by how old they are; 1 is the newest."""
        older = {
            int(file.stem.partition("-")[2]): file
            for file in self.path.iterdir()
            if _OLDER.fullmatch(file.name)
        }
        return ({1: self.checkpoint} if self.checkpoint.exists() else {}) | older

    @property
    def _files(self) -> tuple[Path, ...]:
        return self.config, self.metrics, self.ranks, self.model, self.checkpoint


def _make_older(file: Path, place: Path, *, stays: bool) -> None:
    """Give a file the name of an older one; the newest keeps its own as well, where there are hard links."""
    if stays:
        place.unlink(missing_ok=True)
        with suppress(OSError):  # without hard links
            place.hardlink_to(file)
            return
    file.replace(place)


def _write_text(file: Path, text: str) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read_text(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read ({brief(error)}); restore the file.") from None

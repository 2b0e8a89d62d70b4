"""Settings <-> config.json."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from rankfold._checkpoint._words import brief, some
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold._json_files import parse_json
from rankfold.cli._train_config import TrainConfig

__all__ = ["from_json", "to_json", "to_plain"]

# Where a run lies, that it was taken up again, how it is kept and how it is watched are no settings of it.
_NOT_STORED = ("out", "resume", "keep", "checkpoint_every", "watch", "tensorboard", "diagnose")


def to_plain(config: TrainConfig) -> dict[str, Any]:
    """The settings as plain values by name, without those that say only where the run lies and how it is kept."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
        if name not in _NOT_STORED
    }


def to_json(config: TrainConfig) -> str:
    """The settings as a JSON object, one per line."""
    return json.dumps(to_plain(config), indent=2) + "\n"


def from_json(text: str, where: Path) -> TrainConfig:
    """Read what :func:`to_json` gave.

    Arguments:
        text: the content of the file.
        where: the file, for the messages.

    Raises:
        CheckpointError: no JSON object, or one with settings missing, unknown or of another type.
    """
    try:
        stored = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{where}: not readable as JSON ({brief(error)}); restore the file.") from None
    names = [field.name for field in fields(TrainConfig) if field.name not in _NOT_STORED]
    if not isinstance(stored, dict) or sorted(stored) != sorted(names):
        found = set(stored) if isinstance(stored, dict) else set()
        raise CheckpointError(
            f"{where}: the settings are not those of this version of Rankfold (missing: "
            f"{_listed(set(names) - found)}; unknown: {_listed(found - set(names))}); "
            "restore the file or use the version that wrote it."
        )
    hints = get_type_hints(TrainConfig)
    return TrainConfig(**{name: _typed(name, value, hints[name], where) for name, value in stored.items()})


def _typed(name: str, value: Any, hint: Any, where: Path) -> Any:
    allowed = get_args(hint) or (hint,)
    if isinstance(value, str) and Path in allowed:
        return Path(value)
    if type(value) is int and int not in allowed and float in allowed and finite(value) is not None:
        return float(value)
    if type(value) not in allowed:
        raise CheckpointError(
            f"{where}: {name} is {brief(json.dumps(value), 60)}, which is no value for it; restore the file."
        )
    return value


def _listed(names: set[str]) -> str:
    return some(sorted(names), most=5) or "none"

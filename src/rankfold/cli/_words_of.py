"""The words that make a command's settings again."""

import shlex
from dataclasses import fields
from typing import Any

__all__ = ["words_of"]


def words_of(
    command: str, config: Any, *, positional: str | tuple[str, ...] = (), leave_out: tuple[str, ...] = ()
) -> str:
    """A command line with every setting that is not at its default.

    Arguments:
        command: the name after ``rankfold``.
        config: its settings, a dataclass.
        positional: the setting without a flag, or several in their order.
        leave_out: settings that are not written.

    Example:
        >>> from rankfold.cli._train_config import TrainConfig
        >>> words_of("train", TrainConfig(model="mlp", dense=True))
        'rankfold train --model mlp --dense'
    """
    places = (positional,) if isinstance(positional, str) else positional
    words = ["rankfold", command, *(str(getattr(config, name)) for name in places)]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in (*places, *leave_out) or value == field.default:
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        words += [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)

"""The examples of docs/errors.md; a new one is a function with :func:`shows`, or an entry of ``COMMANDS``."""

from tools.error_examples import (  # noqa: F401 - each registers its own
    _command_line,
    _export,
    _files,
    _models,
    _options,
    _studies,
    _tensors,
    _training,
)
from tools.error_examples._example import COMMANDS, EXAMPLES, Command, Example

__all__ = ["COMMANDS", "EXAMPLES", "Command", "Example"]

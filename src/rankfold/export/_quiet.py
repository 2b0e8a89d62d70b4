"""Exporters that talk to nobody, and their failures in one sentence."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator

__all__ = ["quiet", "reason"]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 200


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what PyTorch's exporters print, log and warn of off the terminal; failures stay exceptions.

    What they warn of is whether the file computes what the model does, which is measured afterwards.
    """
    disabled = logging.root.manager.disable
    silence = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("ignore")
        logging.disable(max(disabled, logging.ERROR))
        try:
            yield
        finally:
            logging.disable(disabled)


def reason(error: BaseException) -> str:
    """One sentence that says why: of the first cause, and for shapes the violated constraint."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = _COLOURS.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = next((line[2:] for line in lines if line.startswith("- ")), lines[0] if lines else "")
    sentence = told.partition(". ")[0].rstrip(".")
    short = sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]}..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__

"""Where reports go, and that names from outside are text there."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from rankfold._display import one_line, visible

__all__ = ["make_console"]

_WIDTH = 120  # of a file or pipe, which has none of its own


def make_console(*, quiet: bool = False) -> Console:
    """A console on stdout; colours, live displays and the width of the window only on a real terminal."""
    terminal = sys.stdout.isatty()
    return _Console(
        file=sys.stdout,
        force_terminal=terminal,
        width=None if terminal else _WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        quiet=quiet,
    )


class _Console(Console):
    """A console that no name of a file or layer can steer: what a terminal would obey is written as its number.

    What the stream cannot hold is written with backslashes. Sequences of rich itself pass.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """A sentence or a cell, all of them one line."""
        return super().render_str(one_line(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is printed passes here."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = visible(segment.text).encode(self.encoding, "backslashreplace").decode(self.encoding)
                yield Segment(text, segment.style)

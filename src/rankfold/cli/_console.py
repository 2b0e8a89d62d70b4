"""Where reports go."""

import sys

from rich.console import Console

__all__ = ["make_console"]

_WIDTH = 120  # of a file or pipe, which has none of its own


def make_console() -> Console:
    """A console on stdout; colours, live displays and the width of the window only on a real terminal."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        force_terminal=terminal,
        width=None if terminal else _WIDTH,
        highlight=False,
        markup=False,
    )

"""Floor 6: the command line."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of ``rankfold``.

    Arguments:
        argv: the words after ``rankfold``; None takes those of the process.

    Returns:
        The exit code: 0 done, 2 failed with one sentence on stderr, 130 interrupted, 1 nobody reads the output.

    Raises:
        SystemExit: after ``--help``, and with code 2 for arguments that cannot be read.

    Example:
        >>> main(["inspect", "no-such-file.safetensors"])
        2
    """
    try:
        # Only here, so that the library needs neither tyro nor rich.
        from rankfold.cli._app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tyro", "rich"):
            raise
        print(
            f"rankfold: the command line needs {error.name}, which is not installed; "
            "pip install 'rankfold[cli]'.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # the imports take a moment
        print("rankfold: interrupted.", file=sys.stderr)
        return 130
    return run(sys.argv[1:] if argv is None else argv)

"""From words to a command, and from failures to exit codes."""

import os
import sys
from collections.abc import Sequence

from rankfold._display import one_line
from rankfold._errors import RankfoldError
from rankfold.cli._arguments import parse
from rankfold.cli._bench_layer import bench_layer
from rankfold.cli._bench_layer_config import BenchLayerConfig
from rankfold.cli._compress import compress
from rankfold.cli._compress_config import CompressConfig
from rankfold.cli._decompose import decompose
from rankfold.cli._decompose_config import DecomposeConfig
from rankfold.cli._export import export
from rankfold.cli._export_config import ExportConfig
from rankfold.cli._inspect import inspect
from rankfold.cli._interrupt import Interrupted, abort_on_termination, code_of_abort
from rankfold.cli._launcher import is_helper
from rankfold.cli._report import report
from rankfold.cli._report_config import ReportConfig
from rankfold.cli._study import study
from rankfold.cli._study_config import StudyConfig
from rankfold.cli._train import train
from rankfold.cli._train_config import TrainConfig

__all__ = ["run"]

_FAILED = 2
_UNREAD = 1  # what rich ends with when nobody reads its output any more


def run(argv: Sequence[str]) -> int:
    """Parse the words, run the command, and turn every failure into one sentence on stderr.

    Arguments:
        argv: the words after ``rankfold``.

    Returns:
        The exit code.
    """
    try:
        with abort_on_termination():
            _run(argv)
        sys.stdout.flush()
    except Interrupted as interruption:
        return _ended(interruption, interruption.code)
    except KeyboardInterrupt as interrupt:
        return _ended("interrupted.", code_of_abort(interrupt))
    except BrokenPipeError:
        # The reader has left, as `head` does; without this Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    except RankfoldError as error:
        return _ended(error, _FAILED)
    except OSError as error:
        return _ended(f"{error.filename or 'file system'}: {error.strerror or error}.", _FAILED)
    return 0


def _run(argv: Sequence[str]) -> None:
    command = parse(argv)
    if isinstance(command, TrainConfig):
        train(command)
    elif isinstance(command, BenchLayerConfig):
        bench_layer(command)
    elif isinstance(command, DecomposeConfig):
        decompose(command)
    elif isinstance(command, CompressConfig):
        compress(command)
    elif isinstance(command, ExportConfig):
        export(command)
    elif isinstance(command, StudyConfig):
        study(command)
    elif isinstance(command, ReportConfig):
        report(command)
    else:
        inspect(command)


def _ended(sentence: object, code: int) -> int:
    if not is_helper():  # all workers end alike, and one of them says why
        print(f"rankfold: {one_line(str(sentence))}", file=sys.stderr)
    return code

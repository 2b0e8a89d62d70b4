"""Truncations as curves in TensorBoard."""

import os
from typing import Any, Self

from rankfold._errors import OptionError
from rankfold._visible import one_line
from rankfold.training._records import RankRecord

__all__ = ["TensorBoardLog", "require_tensorboard"]


class TensorBoardLog:
    """Writes every truncation for TensorBoard: of each layer its ranks mode by mode, its error and its parameters.

    Pass it to :class:`rankfold.TDLRT` as ``on_truncation``. The curves are named ``rank/LAYER/mode_0``,
    ``truncation_error/LAYER`` and ``parameters/LAYER``, over optimiser steps; your own go to ``writer``. A copy of the
    optimiser goes on writing to the same log.

    Arguments:
        target: a folder for the files of TensorBoard, made if it is not there, or a
            ``torch.utils.tensorboard.SummaryWriter``, which stays open when this log is closed.
        purge_step: with a folder that an interrupted run has written to, the first step that comes again: what is
            there of this step and later ones is not shown any more. None shows all.

    Raises:
        OptionError: the package tensorboard is not installed, or ``target`` is neither.

    Example:
        >>> import tempfile, torch, rankfold as rf
        >>> from rankfold.training import TensorBoardLog
        >>> model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 4))
        >>> _ = rf.factorize(model, rank=2)
        >>> with tempfile.TemporaryDirectory() as folder, TensorBoardLog(folder) as log:
        ...     optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1, core_steps=1, on_truncation=log)
        ...     loss = model(torch.ones(8, 16)).square().mean()
        ...     loss.backward()
        ...     _ = optimizer.step()
        ...     log.writer.add_scalar("loss", loss.item(), optimizer.steps_done)
    """

    def __init__(self, target: Any, *, purge_step: int | None = None) -> None:
        self._own = isinstance(target, str | os.PathLike)
        if not self._own and not callable(getattr(target, "add_scalar", None)):
            raise OptionError(
                f"TensorBoardLog: got {type(target).__name__}; pass a folder or a SummaryWriter of "
                "torch.utils.tensorboard."
            )
        #: The SummaryWriter, for curves of your own.
        self.writer: Any = target
        if self._own:
            self.writer = require_tensorboard("TensorBoardLog")(os.fspath(target), purge_step=purge_step)

    def __call__(self, record: RankRecord) -> None:
        """Write down a truncation."""
        layer = one_line(record.layer) or "network"
        for mode in record.modes:
            self.writer.add_scalar(f"rank/{layer}/mode_{mode}", record.ranks[mode], record.step)
        self.writer.add_scalar(f"truncation_error/{layer}", record.truncation_error, record.step)
        self.writer.add_scalar(f"parameters/{layer}", record.parameters, record.step)

    def close(self) -> None:
        """Bring everything to disk, and close the files unless the writer was given."""
        if self._own:
            self.writer.close()
        else:
            self.writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # open files cannot be copied


def require_tensorboard(where: str) -> type:
    """The class ``SummaryWriter``.

    Arguments:
        where: for the message.

    Raises:
        OptionError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise OptionError(
            f"{where}: the package tensorboard cannot be imported ({error}); run pip install "
            "'rankfold[tensorboard]'."
        ) from None
    return SummaryWriter

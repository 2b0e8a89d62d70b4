"""What a running training looks like: a function of its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rankfold._display import one_line, sizes

__all__ = ["TrainingStatus", "training_view"]


@dataclass(frozen=True, kw_only=True)
class TrainingStatus:
    """What is known between two batches.

    Arguments:
        epochs, batches_per_epoch: the whole way.
        epoch, batch: completed epochs, and batches done in the current one.
        train_loss, train_accuracy: mean over the current epoch so far, or None before its first batch.
        test_accuracy: after the last completed epoch, or None.
        parameters: of the model at its exact ranks.
        compression: share of the parameters saved in the factorised layers.
        ranks: exact ranks of each factorised layer.
        seconds: training time.
    """

    epochs: int
    batches_per_epoch: int
    epoch: int = 0
    batch: int = 0
    train_loss: float | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    parameters: int = 0
    compression: float = 0.0
    ranks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seconds: float = 0.0


def training_view(status: TrainingStatus) -> RenderableType:
    """A progress bar, the numbers of the moment, and the ranks of each layer."""
    total = status.epochs * status.batches_per_epoch
    done = status.epoch * status.batches_per_epoch + status.batch
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        f"epoch {min(status.epoch + 1, status.epochs)}/{status.epochs}",
        ProgressBar(total=total, completed=done, width=40),
        f"{done / total:.0%}",
        f"{status.seconds:.0f} s",
    )
    numbers = Table.grid(padding=(0, 3))
    numbers.add_row(
        f"loss {_number(status.train_loss, '.4f')}",
        f"training accuracy {_number(status.train_accuracy, '.2%')}",
        f"test accuracy {_number(status.test_accuracy, '.2%')}",
    )
    numbers.add_row(f"parameters {status.parameters:,}", f"compression {status.compression:.1%}", "")
    ranks = Table.grid(padding=(0, 1))
    for name, value in status.ranks.items():
        ranks.add_row(Text(one_line(name), style="dim"), sizes(value))
    return Group(bar, numbers, ranks)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

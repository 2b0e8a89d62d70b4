"""Workers that torchrun has started; without it there is one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from rankfold._collectives import Workers, workers_of
from rankfold._errors import RankfoldError

__all__ = ["is_helper", "launched_workers"]

# A worker that has not answered for so long is taken for dead; a pass over a large slice takes minutes.
_PATIENCE = timedelta(hours=1)


@contextmanager
def launched_workers() -> Iterator[Workers]:
    """Join the group of the launcher for the length of the block."""
    if not _launched() or dist.is_initialized():
        yield workers_of() if dist.is_initialized() else Workers()
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield workers_of()
    except RankfoldError:
        raise
    except RuntimeError as error:  # as the collectives say that another worker is gone
        first = str(error).partition("\n")[0]
        raise RankfoldError(
            f"a worker was lost ({first}); look at what the others say, and start all of them again."
        ) from error
    finally:
        dist.destroy_process_group()


def is_helper() -> bool:
    """Whether another worker says what there is to say."""
    return _launched() and os.environ.get("RANK", "0") != "0"


def _launched() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()

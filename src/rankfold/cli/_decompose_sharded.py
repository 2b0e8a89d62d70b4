"""What ``rankfold decompose`` reads in blocks: what is too large, in several files, or for several workers."""

import re
from pathlib import Path

import torch

from rankfold._collectives import Workers
from rankfold._errors import OptionError
from rankfold.cli._decompose_config import DecomposeConfig, given_ranks
from rankfold.decompose import METHODS, Sharded
from rankfold.decompose._block_memory import required_block_bytes
from rankfold.decompose._memory import available_bytes, shown_bytes
from rankfold.decompose._sharded import BLOCK_BYTES
from rankfold.decompose._together import gathered

__all__ = ["memory_limit", "named", "opened_in_blocks", "takes_blocks"]

_UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))},
    **{unit: 1024**power for power, unit in enumerate(("KIB", "MIB", "GIB", "TIB"), 1)},
}
# Choice of this library: some blocks exist at once, and there are factors and Gram matrices beside them.
_SHARE = 32
_LEAST_BLOCK = 2**16


def memory_limit(config: DecomposeConfig) -> int | None:
    """Bytes that may be taken: what ``--memory`` says, and no more than is free.

    Raises:
        OptionError: ``--memory`` is no size.
    """
    free = available_bytes(torch.device("cpu"))
    if config.memory is None:
        return free
    words = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\s*", config.memory)
    if words is None or words[2].upper() not in _UNITS:
        raise OptionError(
            f"decompose: --memory is {config.memory!r}, allowed is a size such as 4GiB or 500MB; write one."
        )
    asked = int(float(words[1]) * _UNITS[words[2].upper()])
    return asked if free is None else min(asked, free)


def takes_blocks(config: DecomposeConfig) -> bool:
    """Whether what is asked for can be done with a tensor in blocks."""
    if config.format == "tucker":
        able = config.method != "randomized" and not config.nonnegative
    else:
        able = (
            config.format == "cp" and "sharded" in METHODS[config.method].takes and config.loss == "squared"
        )
    return able and config.mask is None and (config.file.is_dir() or config.file.suffix.lower() == ".npy")


def opened_in_blocks(config: DecomposeConfig, workers: Workers, limit: int | None) -> Sharded:
    """The tensor of a file or of a folder of shards.

    Raises:
        DataError: a file is missing or damaged.
        OptionError: it cannot be done in blocks, or the limit is too low even so.
    """
    if not takes_blocks(config):
        raise OptionError(
            f"decompose: {config.file} would be read in blocks, which cp and tucker of .npy files can do without mask, "
            "loss poisson and the methods algebraic and randomized, tucker without nonnegative; leave these out."
        )
    if config.device not in ("auto", "cpu"):
        raise OptionError("decompose: a tensor in blocks is decomposed on the cpu; leave --device out.")
    block = BLOCK_BYTES if limit is None else min(max(limit // _SHARE, _LEAST_BLOCK), BLOCK_BYTES)
    block = int(gathered(workers, block).min())
    folder = config.file.is_dir()
    x = (
        Sharded.from_folder(config.file, config.axis, None, workers.group, block_bytes=block)
        if folder
        else Sharded.from_npy(config.file, None, workers.group, block_bytes=block)
    )
    ranks = given_ranks(config) if config.format != "cp" else None if config.rank == "auto" else config.rank
    needed = required_block_bytes(x, format=config.format, ranks=ranks)
    if config.memory is not None and limit is not None and needed > limit:
        raise OptionError(
            f"decompose: {config.file} of shape {x.shape} needs {shown_bytes(needed)} even in blocks, --memory leaves "
            f"{shown_bytes(limit)}; allow more, or ask for lower ranks."
        )
    return x


def named(path: Path, x: Sharded) -> str:
    """What is read, in words."""
    count = x.workers.count
    by = f" by {count} workers" if count > 1 else ""
    return f"{path.name}: read in blocks of {shown_bytes(x.block_bytes)}{by}, never as a whole."

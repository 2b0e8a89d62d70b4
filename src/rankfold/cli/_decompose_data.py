"""The tensor of ``rankfold decompose``, read only if it fits."""

from pathlib import Path

import torch
from torch import Tensor

from rankfold._collectives import Workers
from rankfold._errors import DataError, OptionError
from rankfold.cli._check_config import chosen_device
from rankfold.cli._decompose_config import DecomposeConfig, given_ranks
from rankfold.cli._decompose_sharded import memory_limit, named, opened_in_blocks, takes_blocks
from rankfold.data import open_tensor
from rankfold.decompose import Sharded
from rankfold.decompose._memory import check_memory, required_bytes, shown_bytes
from rankfold.report import sizes

__all__ = ["ADVICE", "data_of"]

ADVICE = "pass a part of it, or float32 numbers"
_SPARSE_ADVICE = "pass a part of it, or write it sparse as .tns where most entries are zero"


def data_of(
    config: DecomposeConfig, workers: Workers
) -> tuple[Tensor | Sharded, Tensor | None, tuple[str, ...]]:
    """Tensor and mask on the device, read only if everything after it fits as well, and what is to be said of them.

    What does not fit, lies in several files, or is shared by several workers is read in blocks.
    """
    limit = memory_limit(config)
    if workers.group is not None or config.file.is_dir():
        x = opened_in_blocks(config, workers, limit)
        return x, None, (named(config.file, x),)
    source = open_tensor(config.file, config.key)
    notes = () if source.note is None else (source.note,)
    device, cpu = chosen_device(config.device), torch.device("cpu")
    masked = config.mask is not None
    if source.shape is None:
        check_memory("decompose", f"reading {source.path}", source.read_bytes, cpu, ADVICE)
        x = source.read()
        needed = _required(config, tuple(x.shape), x.dtype, stored=x._nnz())
        check_memory("decompose", _named(source.path, tuple(x.shape)), needed, device, ADVICE)
    else:
        stored = None if source.stored == torch.Size(source.shape).numel() else source.stored
        needed = _required(config, source.shape, source.dtype, stored=stored, masked=masked)
        what = _named(source.path, source.shape)
        whole = source.read_bytes + (needed if device == cpu else 0)
        if limit is not None and whole > limit and takes_blocks(config):
            x = opened_in_blocks(config, workers, limit)
            why = f"{source.path.name}: needs {shown_bytes(whole)} as a whole, {shown_bytes(limit)} may be taken."
            return x, None, (why, named(config.file, x))
        if config.memory is not None and limit is not None and whole > limit:
            raise OptionError(
                f"decompose: {what} needs {shown_bytes(whole)} as a whole, --memory leaves {shown_bytes(limit)}, and "
                "only cp and tucker of .npy files without mask are read in blocks; allow more, or use one of these."
            )
        if device == cpu:
            check_memory("decompose", what, source.read_bytes + needed, cpu, _SPARSE_ADVICE)
        else:
            check_memory("decompose", f"reading {source.path}", source.read_bytes, cpu, _SPARSE_ADVICE)
            own = source.stored * source.dtype.itemsize
            check_memory("decompose", what, own + needed, device, _SPARSE_ADVICE)
        x = source.read()
    mask = _mask(config, x)
    return x.to(device), None if mask is None else mask.to(device), notes


def _required(
    config: DecomposeConfig,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    stored: int | None,
    masked: bool = False,
) -> int:
    ranks = given_ranks(config) if config.format != "cp" else None if config.rank == "auto" else config.rank
    return required_bytes(shape, dtype, format=config.format, ranks=ranks, stored=stored, masked=masked)


def _named(path: Path, shape: tuple[int, ...]) -> str:
    return f"{path} of shape {sizes(shape)}"


def _mask(config: DecomposeConfig, x: Tensor) -> Tensor | None:
    if x.is_sparse:
        if config.mask is not None:
            raise OptionError("decompose: --mask is for dense tensors; leave it out for a sparse one.")
        return None
    missing = x.isnan()
    count = int(missing.sum())
    if config.mask is None:
        if count:
            raise DataError(
                f"{config.file}: {count} of {x.numel()} entries are NaN; give --mask nan if these are missing."
            )
        return None
    if config.mask == "nan":
        return ~missing
    source = open_tensor(config.mask)
    values = source.read()
    if values.is_sparse or values.shape != x.shape or not bool(((values == 0) | (values == 1)).all()):
        raise DataError(
            f"{source.path}: the mask is of shape {sizes(values.shape)}; allowed are 1 (observed) and 0 in the shape "
            f"{sizes(x.shape)} of the tensor; write it again."
        )
    return values == 1

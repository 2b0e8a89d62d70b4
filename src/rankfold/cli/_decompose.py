"""``rankfold decompose``."""

import signal
import time
from pathlib import Path

import torch
from torch import Tensor

from rankfold._errors import DataError, OptionError, RankfoldError
from rankfold.cli._check_config import chosen_device
from rankfold.cli._console import make_console
from rankfold.cli._decompose_config import DecomposeConfig, given_ranks
from rankfold.cli._decompose_files import write_results
from rankfold.cli._decompose_folder import new_folder, place_of_results
from rankfold.cli._interrupt import Interrupted, code_of_stop
from rankfold.cli._report import leave_page
from rankfold.cli._report_config import page_of
from rankfold.data import TensorSource, open_tensor
from rankfold.decompose import Decomposition, TracePoint, cp, tt, tucker
from rankfold.decompose._memory import check_memory, required_bytes
from rankfold.report import DecompositionDisplay, decomposition_report, sizes
from rankfold.training import StopRequest, stop_on_signal

__all__ = ["decompose"]

_ADVICE = "pass a part of it, or float32 numbers"
_SPARSE_ADVICE = "pass a part of it, or write it sparse as .tns where most entries are zero"


def decompose(config: DecomposeConfig) -> None:
    """Decompose the tensor of a file, write what was found into a folder, and report.

    Arguments:
        config: checked settings.

    Raises:
        RankfoldError: the file cannot be read or decomposed, or the folder not written.
        Interrupted: someone asked to stop; the best so far is written.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = make_console()
    place = place_of_results(config.out, config.file, config.format)
    source = open_tensor(config.file, config.key)
    x, mask = _data(config, source)
    kind = "sparse" if x.is_sparse else str(x.dtype).removeprefix("torch.")
    title = f"{config.file.name}, {sizes(x.shape)}, {kind}"
    console.print(title, soft_wrap=True)
    if source.note is not None:
        console.print(source.note, soft_wrap=True)
    with stop_on_signal(signal.SIGINT, signal.SIGTERM) as stop, new_folder(place) as folder:
        started = time.perf_counter()
        with DecompositionDisplay(console, lambda: stop.requested) as display:
            result = _decomposed(config, x, mask, stop, display)
        seconds, interrupted = time.perf_counter() - started, stop.requested
        observed = None if mask is None else int(mask.sum())
        missing = write_results(
            folder, config, result, observed=observed, seconds=seconds, interrupted=interrupted
        )
        without = leave_page(folder, place)
    how = "given" if config.rank != "auto" else "the best so far" if interrupted else "found"
    console.print(decomposition_report(result, f"{config.format} in {seconds:.1f} s", how, observed))
    for sentence in (missing, without):
        if sentence is not None:
            console.print(sentence, soft_wrap=True)
    console.print(f"results: {place}", soft_wrap=True)
    if without is None:
        console.print(f"page: {page_of(place)}", soft_wrap=True)
    if interrupted:
        raise Interrupted(
            f"interrupted; the best so far (rank {sizes(result.tensor.ranks)}, relative error "
            f"{result.relative_error:.4g}) is in {place}.",
            code_of_stop(stop),
        )


def _decomposed(
    config: DecomposeConfig, x: Tensor, mask: Tensor | None, stop: StopRequest, display: DecompositionDisplay
) -> Decomposition:
    def callback(point: TracePoint) -> bool:
        display.update(point)
        return stop.requested

    generator = torch.Generator().manual_seed(config.seed)
    ranks = given_ranks(config)
    try:
        if config.format == "tt":
            return tt(x, ranks, tolerance=config.tolerance)
        if config.format == "tucker":
            return tucker(
                x,
                ranks,
                tolerance=config.tolerance,
                energy=config.energy,
                mask=mask,
                nonnegative=config.nonnegative,
                method=config.method,  # pyright: ignore[reportArgumentType]
                generator=generator,
                callback=callback,
            )
        return cp(
            x,
            None if config.rank == "auto" else config.rank,
            method=config.method,
            mask=mask,
            nonnegative=config.nonnegative,
            symmetric=config.symmetric,
            restarts=config.restarts,
            tolerance=config.tolerance,
            loss=config.loss,
            generator=generator,
            callback=callback,
        )
    except RankfoldError:
        raise
    except (RuntimeError, MemoryError) as error:
        first = str(error).partition("\n")[0] or "out of memory"
        if "memory" not in first:
            raise
        raise OptionError(f"decompose: memory ran out ({first}); {_ADVICE}.") from None


def _data(config: DecomposeConfig, source: TensorSource) -> tuple[Tensor, Tensor | None]:
    """Tensor and mask on the device, read only if everything after it fits as well."""
    device, cpu = chosen_device(config.device), torch.device("cpu")
    masked = config.mask is not None
    if source.shape is None:
        check_memory("decompose", f"reading {source.path}", source.read_bytes, cpu, _ADVICE)
        x = source.read()
        needed = _required(config, tuple(x.shape), x.dtype, stored=x._nnz())
        check_memory("decompose", _named(source.path, tuple(x.shape)), needed, device, _ADVICE)
    else:
        stored = None if source.stored == torch.Size(source.shape).numel() else source.stored
        needed = _required(config, source.shape, source.dtype, stored=stored, masked=masked)
        what = _named(source.path, source.shape)
        if device == cpu:
            check_memory("decompose", what, source.read_bytes + needed, cpu, _SPARSE_ADVICE)
        else:
            check_memory("decompose", f"reading {source.path}", source.read_bytes, cpu, _SPARSE_ADVICE)
            own = source.stored * source.dtype.itemsize
            check_memory("decompose", what, own + needed, device, _SPARSE_ADVICE)
        x = source.read()
    mask = _mask(config, x)
    return x.to(device), None if mask is None else mask.to(device)


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

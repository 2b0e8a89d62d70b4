"""``rankfold decompose``."""

import signal
import time
from contextlib import ExitStack

import torch
from torch import Tensor

from rankfold._errors import OptionError, RankfoldError
from rankfold.cli._console import make_console
from rankfold.cli._decompose_config import DecomposeConfig, given_ranks
from rankfold.cli._decompose_data import ADVICE, data_of
from rankfold.cli._decompose_files import write_results
from rankfold.cli._decompose_folder import new_folder, place_of_results
from rankfold.cli._interrupt import Interrupted, code_of_stop
from rankfold.cli._launcher import launched_workers
from rankfold.cli._report import leave_page
from rankfold.cli._report_config import page_of
from rankfold.decompose import Decomposition, Sharded, TracePoint, cp, tt, tucker
from rankfold.decompose._together import together
from rankfold.report import DecompositionDisplay, decomposition_report, sizes
from rankfold.training import StopRequest, stop_on_signal

__all__ = ["decompose"]


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
    with launched_workers() as workers, ExitStack() as stack:
        console = make_console(quiet=workers.rank > 0)
        place = together(workers, lambda: place_of_results(config.out, config.file, config.format))
        x, mask, notes = data_of(config, workers)
        kind = "sparse" if isinstance(x, Tensor) and x.is_sparse else str(x.dtype).removeprefix("torch.")
        for line in (f"{config.file.name}, {sizes(x.shape)}, {kind}", *notes):
            console.print(line, soft_wrap=True)
        stop = stack.enter_context(stop_on_signal(signal.SIGINT, signal.SIGTERM))
        # All workers come to the same result, and the first one writes it.
        writer = workers.rank == 0
        folder = together(workers, lambda: stack.enter_context(new_folder(place)) if writer else None)
        started = time.perf_counter()
        with DecompositionDisplay(console, lambda: stop.requested) as display:
            result = _decomposed(config, x, mask, stop, display)
        seconds, interrupted = time.perf_counter() - started, workers.any(stop.requested)
        observed = None if mask is None else int(mask.sum())
        if folder is not None:
            missing = write_results(
                folder, config, result, observed=observed, seconds=seconds, interrupted=interrupted
            )
            without = leave_page(folder, place)
            stack.close()
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
    config: DecomposeConfig,
    x: Tensor | Sharded,
    mask: Tensor | None,
    stop: StopRequest,
    display: DecompositionDisplay,
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
        raise OptionError(f"decompose: memory ran out ({first}); {ADVICE}.") from None

"""times.json: what a trained network takes on this machine, dense and folded, layer by layer and as a whole."""

import platform
from collections.abc import Callable
from typing import Any

import torch

import rankfold
from rankfold._checkpoint._words import brief
from rankfold._errors import CheckpointError
from rankfold.cli._measure import place_of, time_networks
from rankfold.cli._measure_layers import layer_costs
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._training_run import TrainingRun
from rankfold.report.page import TimesRecord

__all__ = ["measure_times", "read_times"]

_LEAST, _MOST = 1e-12, 1e9  # seconds: what is outside was not measured


def measure_times(run: TrainingRun, show: Callable[[str, int, int | None], object]) -> None:
    """Time the trained network and its factorised layers on the first test samples, and write it down.

    It takes about as long as fifty training steps, and at least a twentieth of a second a layer.

    Arguments:
        run: complete, not of a dense network; its model is left in eval mode.
        show: called with what is under way, how much of it is done, and of how much or None.

    Raises:
        CheckpointError: the record cannot be written.
    """
    tuned = rankfold.tune_cpu_allocator()  # or page faults decide which form seems faster
    network = run.model.eval()
    inputs = (run.data.test[0][: run.config.batch_size],)
    rows = layer_costs(
        network, inputs, lambda done, count: show("timing the layers, dense and now", done, count)
    )
    show("timing the network, dense and now", 0, None)
    times = time_networks([rankfold.densify(network).eval(), rankfold.fold(network).eval()], inputs)
    run.folder.write_record(
        run.folder.times,
        {
            "epochs": run.progress.epoch,
            "batch": len(inputs[0]),
            "device": str(inputs[0].device),
            "threads": torch.get_num_threads(),
            "place": place_of(inputs[0]),
            "allocator_tuned": tuned,
            "versions": {
                "rankfold": rankfold.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "network": {"dense": times.seconds(0), "now": times.seconds(1)},
            "layers": {
                row.layer: {"dense": row.dense.seconds, "now": row.folded.seconds}
                for row in rows
                if row.ranks is not None and row.dense.seconds is not None
            },
        },
    )


def read_times(folder: RunFolder, epochs: int) -> TimesRecord | None:
    """Read times.json; None where it is missing, or from before the run went on.

    Arguments:
        folder: of the run.
        epochs: how many it has done.

    Raises:
        CheckpointError: it is damaged.
    """
    record = folder.read_record(folder.times)
    if record is None:
        return None
    try:
        if record["epochs"] != epochs:
            return None
        if type(record["batch"]) is not int or not isinstance(record["place"], str):
            raise TypeError("batch or place")
        return TimesRecord(
            batch=record["batch"],
            place=record["place"],
            versions={str(name): str(value) for name, value in record["versions"].items()},
            network=_pair(record["network"]),
            layers={name: _pair(pair) for name, pair in record["layers"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder.times}: the record is damaged ({type(error).__name__}: {brief(error)}); remove the file."
        ) from None


def _pair(record: dict[str, Any]) -> tuple[float, float]:
    pair = record["dense"], record["now"]
    for value in pair:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _LEAST < value < _MOST:
            raise ValueError(f"{brief(value)} is no time")
    return pair

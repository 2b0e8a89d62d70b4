"""Processor time of a step of TDLRT adapters, PEFT's LoRA and AdaLoRA on text, at the size that they end with."""

import time
import warnings
from pathlib import Path
from statistics import median

import torch
import tyro

from benchmarks._adapter_sides import SIDES, Side, penalty
from benchmarks._results import write_result
from benchmarks.adapters_text import BATCH, LENGTH, RANK, loss_of, text
from benchmarks.networks._files import weights
from benchmarks.networks._stories import stories260k

STEPS, ROUNDS = 16, 5


def times(side: Side, tokens: torch.Tensor, data_dir: Path | None, seed: int) -> list[float]:
    """Milliseconds of each step of the second half, where every side has the size that it ends with."""
    model = stories260k()
    model.load_state_dict(weights(data_dir, "stories260k"), strict=False)
    trained = side.build(model, RANK, STEPS, seed)
    trained.model.train()
    trained.set_rate(0.03)
    parameters = [parameter for parameter in trained.model.parameters() if parameter.requires_grad]
    generator, found = torch.Generator().manual_seed(seed), []
    for step in range(STEPS):
        starts = torch.randint(0, len(tokens) - LENGTH, (BATCH, 1), generator=generator)
        windows = tokens[starts + torch.arange(LENGTH + 1)]
        # Not the time of the clock, which counts what else the machine does.
        begun = time.process_time()
        for parameter in parameters:
            parameter.grad = None
        (loss_of(trained.model, windows) + penalty(side.name, trained.model)).backward()
        trained.step(step)
        found.append(1000 * (time.process_time() - begun))
    return found[STEPS // 2 :]


def main(data_dir: Path | None = None) -> None:
    """Time all sides in turn, print medians, and write the result.

    Arguments:
        data_dir: folder of the data sets.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # PEFT, about models without a configuration
    tokens, _ = text(data_dir)
    found: dict[str, list[float]] = {side.name: [] for side in SIDES}
    for seed in range(ROUNDS):
        for side in SIDES:
            found[side.name] += times(side, tokens, data_dir, seed)
    milliseconds = {name: round(median(values), 1) for name, values in found.items()}
    print(milliseconds)
    write_result(
        "adapters_step", {"rank": RANK, "batch": BATCH, "length": LENGTH, "milliseconds": milliseconds}
    )


if __name__ == "__main__":
    tyro.cli(main)

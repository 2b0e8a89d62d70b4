"""Adapt a language model to Shakespeare: adapters trained by TDLRT against PEFT's LoRA and AdaLoRA at equal size.

stories260k was trained on children's stories with a vocabulary of 512 pieces of words. The text is read letter by
letter: its 65 characters, the most frequent first, stand for the 65 tokens that the model's own samples have most
often, so that their embeddings are trained ones. Embedding and output stay frozen.

Each side trains all linear layers for the same steps on the same batches, with the learning rate that ended lowest on
a seed of its own, and is judged by the mean loss per character of the last tenth of the text. Rates are tried from
0.03 on by factors of 2, to either side, until both neighbours of the best are worse.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from math import cos, pi
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._adapter_sides import SIDES, Side, penalty
from benchmarks._results import write_result
from benchmarks.networks._files import data_root, samples, weights
from benchmarks.networks._stories import stories260k

RANK, BATCH, LENGTH = 4, 16, 128
TUNING_SEED, SEEDS = 100, (0, 1, 2)
RATES = (0.00375, 0.0075, 0.015, 0.03, 0.06, 0.12, 0.24, 0.48)
FIRST_RATE = 0.03


def text(data_dir: Path | None) -> tuple[Tensor, Tensor]:
    """Tokens to train on, and the last tenth."""
    path = data_root(data_dir) / "text" / "tinyshakespeare.txt"
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist; pass --data-dir or set RANKFOLD_DATA to the folder that has it."
        )
    content = path.read_bytes()
    letters = torch.frombuffer(bytearray(content), dtype=torch.uint8).long()
    ours = torch.bincount(letters).argsort(descending=True, stable=True)[: len(letters.unique())]
    own = torch.from_numpy(samples(data_dir, "stories260k_samples")["tokens"][:, 1:].astype("int64"))
    theirs = torch.bincount(own.flatten(), minlength=512).argsort(descending=True, stable=True)
    table = torch.zeros(256, dtype=torch.long)
    table[ours] = theirs[: len(ours)]
    tokens = table[letters]
    cut = len(tokens) * 9 // 10
    return tokens[:cut], tokens[cut:]


def loss_of(model: torch.nn.Module, windows: Tensor) -> Tensor:
    """Mean loss in nats per character of ``(N, LENGTH + 1)`` tokens."""
    return F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def judged(model: torch.nn.Module, tokens: Tensor) -> float:
    """The mean loss over neighbouring windows."""
    model.eval()
    windows = tokens[: len(tokens) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)
    return mean(loss_of(model, part).item() for part in windows.split(64) if len(part) == 64)


def run(
    side: Side, data: tuple[Tensor, Tensor], data_dir: Path | None, steps: int, rate: float, seed: int
) -> dict[str, Any]:
    """Train once; the learning rate rises over a twentieth and falls to zero by a cosine."""
    model = stories260k()
    model.load_state_dict(weights(data_dir, "stories260k"), strict=False)
    trained = side.build(model, RANK, steps, seed)
    trained.model.train()
    generator, seconds = torch.Generator().manual_seed(seed), 0.0
    parameters = [parameter for parameter in trained.model.parameters() if parameter.requires_grad]
    for step in range(steps):
        rise = min(1.0, (step + 1) / (steps / 20))
        trained.set_rate(rate * rise * 0.5 * (1 + cos(pi * step / steps)))
        starts = torch.randint(0, len(data[0]) - LENGTH, (BATCH, 1), generator=generator)
        windows = data[0][starts + torch.arange(LENGTH + 1)]
        begun = time.perf_counter()
        for parameter in parameters:
            parameter.grad = None
        loss = loss_of(trained.model, windows) + penalty(side.name, trained.model)
        loss.backward()
        trained.step(step)
        seconds += time.perf_counter() - begun
    return {
        "loss": round(judged(trained.model, data[1]), 4),
        "parameters": trained.parameters(),
        "ranks": trained.ranks(),
        "ms_per_step": round(1000 * seconds / steps, 2),
    }


def tuned(ends: Callable[[float], float]) -> dict[float, float]:
    """Loss by learning rate: the best rate lies between two that are worse, unless it is the first or last of all."""
    losses: dict[float, float] = {}
    best = RATES.index(FIRST_RATE)
    while True:
        for near in range(max(best - 1, 0), min(best + 2, len(RATES))):
            if RATES[near] not in losses:
                losses[RATES[near]] = ends(RATES[near])
        lowest = RATES.index(min(losses, key=losses.__getitem__))
        if lowest == best:
            return losses
        best = lowest


def main() -> None:
    """Tune each side's learning rate, then train with three seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # PEFT, about models without a configuration
    data = text(arguments.data_dir)
    frozen = stories260k()
    frozen.load_state_dict(weights(arguments.data_dir, "stories260k"), strict=False)
    before = judged(frozen, data[1])
    print(f"not adapted: {before:.4f}")
    rows: list[dict[str, Any]] = []
    tuning: dict[str, dict[float, float]] = {}
    for side in SIDES:

        def ends(rate: float, side: Side = side) -> float:
            found = run(side, data, arguments.data_dir, arguments.steps, rate, TUNING_SEED)
            print(f"{side.name}, rate {rate:g}: {found['loss']:.4f}", flush=True)
            return float(found["loss"])

        tuning[side.name] = tuned(ends)
    best = {name: min(losses, key=losses.__getitem__) for name, losses in tuning.items()}
    for seed in SEEDS:
        for side in SIDES:  # interleaved, so that a change of the machine meets them all
            found = run(side, data, arguments.data_dir, arguments.steps, best[side.name], seed)
            rows.append({"side": side.name, "seed": seed, "rate": best[side.name], **found})
            print({name: value for name, value in rows[-1].items() if name != "ranks"}, flush=True)
    summary = {
        side.name: {
            "mean_loss": round(mean(losses := [row["loss"] for row in rows if row["side"] == side.name]), 4),
            "deviation": round(stdev(losses), 4),
            "parameters": max(row["parameters"] for row in rows if row["side"] == side.name),
            "ms_per_step": round(mean(row["ms_per_step"] for row in rows if row["side"] == side.name), 2),
        }
        for side in SIDES
    }
    for name, values in summary.items():
        print(name, values)
    setup = {"rank": RANK, "batch": BATCH, "length": LENGTH, "steps": arguments.steps, "rates": RATES}
    write_result(
        "adapters_text",
        {"setup": setup, "not_adapted": round(before, 4), "tuning": tuning, "summary": summary, "rows": rows},
    )


if __name__ == "__main__":
    main()

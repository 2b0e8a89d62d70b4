"""One worker of a loop under torchrun that averages its gradients, saves every step and may kill itself."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import rankfold
from rankfold._collectives import workers_of

__all__ = ["STEPS"]

STEPS, PHASES = 40, 3


def _end_it(after: float = 0.0) -> None:
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, seed: int, kills: int) -> None:
    """Go on from the newest checkpoint to the last step."""
    dist.init_process_group("gloo")
    rank, restarts = dist.get_rank(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    chance = random.Random(f"{seed} {restarts}")
    victim, phase, delay = chance.randrange(2), chance.randrange(PHASES), chance.uniform(0, 0.01)
    torch.manual_seed(rank)  # dropout differs from worker to worker
    random.seed(rank)
    np.random.seed(rank)  # noqa: NPY002 - the global generator is part of the checkpoint
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 6))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    rankfold.factorize(model, 6)
    optimizer = rankfold.TDLRT(model, torch.optim.AdamW, lr=0.01, core_steps=2, tolerance=0.2)
    checkpoints = rankfold.Checkpoints(folder, keep=2)
    restored = checkpoints.restore(model, optimizer=optimizer)
    first = 1 if restored is None else restored.step + 1
    # Later restarts are killed later, so that each makes some steps.
    fatal = chance.randrange(first, min(first + 12, STEPS)) if restarts < kills and first < STEPS else None
    for step in range(first, STEPS + 1):
        fatal_here = step == fatal and rank == victim
        if fatal_here and phase == 0:
            _end_it()
        optimizer.zero_grad()
        model(torch.randn(16, 20) + torch.tensor(float(step)).sin()).square().mean().backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        workers_of().mean_(gradients)
        optimizer.step()
        if fatal_here and phase == 1:
            _end_it()
        if fatal_here:
            threading.Thread(target=_end_it, args=(delay,), daemon=True).start()
        ranks = [list(layer.ranks) for layer in optimizer.layers.values()]
        checkpoints.save(model, step, optimizer=optimizer, extra={"ranks": ranks})
        if fatal_here:
            time.sleep(0.1)
    (folder / f"worker-{rank}-restarts").write_text(str(restarts))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Models whose dense rest is sharded, and their checkpoints, for every worker to run."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from tests.training.distributed.events import refusal
from tests.training.distributed.training import batch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as states
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import distribute_tensor

import rankfold as rf
from rankfold.layers import Linear
from rankfold.training import low_rank_parameters, restore_ranks


def built(metadata: Any = None, shard: bool = True) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), Linear(32, 24, rank=3), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(),
        Linear(24, 12, rank=3, bias=False), nn.Linear(12, 5),
    ).double()  # fmt: skip
    if metadata is not None:
        restore_ranks(model, metadata)
    if shard:
        whole = low_rank_parameters(model)
        fully_shard(model[3], ignored_params=whole)
        fully_shard(model, ignored_params=whole)
    return model


def whole(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in model.named_parameters()
    }


def optimizer_of(model: nn.Module, inner: str) -> rf.TDLRT:
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.9} if inner == "SGD" else {"lr": 0.03}
    return rf.TDLRT(
        model, getattr(torch.optim, inner), tolerance=0.2, tolerance_warmup=6, core_steps=2, **options
    )


def steps(
    model: nn.Module, optimizer: rf.TDLRT, rank: int, workers: int, first: int, last: int
) -> list[float]:
    norms = []
    for step in range(first, last):
        x, y = batch(step, 24)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rank::workers]), y[rank::workers]).backward()
        norms.append(float(optimizer.clip_grad_norm_(0.3)))
        optimizer.step()
    return norms


def stored(rank: int, workers: int, inner: str, folder: Path) -> dict[str, Any]:
    """Train, save in the middle of a cycle, go on, and go on again from what was saved."""
    model = built()
    optimizer = optimizer_of(model, inner)
    norms = steps(model, optimizer, rank, workers, 0, 7)
    state = {
        "model": states.get_model_state_dict(model),
        "optimizer": states.get_optimizer_state_dict(model, optimizer),
    }
    dcp.save(state, checkpoint_id=folder)
    steps(model, optimizer, rank, workers, 7, 10)

    again = built(dcp.FileSystemReader(folder).read_metadata())
    second = optimizer_of(again, inner)
    state = {
        "model": states.get_model_state_dict(again),
        "optimizer": states.get_optimizer_state_dict(again, second),
    }
    dcp.load(state, checkpoint_id=folder)
    states.set_model_state_dict(again, state["model"])
    options = states.StateDictOptions(strict=False)  # bases have no state
    states.set_optimizer_state_dict(again, second, state["optimizer"], options=options)
    steps(again, second, rank, workers, 7, 10)
    sharded = [name for name, value in model.named_parameters() if hasattr(value, "device_mesh")]
    return {"first": whole(model), "second": whole(again), "norms": norms, "sharded": sharded}


def reference(inner: str) -> tuple[dict[str, Tensor], list[float]]:
    """The same run of one process."""
    model = built(shard=False)
    optimizer = optimizer_of(model, inner)
    norms = steps(model, optimizer, 0, 1, 0, 7)
    steps(model, optimizer, 0, 1, 7, 10)
    return whole(model), norms


def nan_in_shard(rank: int, workers: int) -> dict[str, Any]:
    """A gradient that only one worker holds a part of becomes NaN."""
    model = built()
    optimizer = optimizer_of(model, "SGD")
    steps(model, optimizer, rank, workers, 0, 1)
    before = whole(model)
    x, y = batch(1, 24)
    F.cross_entropy(model(x[rank::workers]), y[rank::workers]).backward()
    part = model[6].weight.grad.to_local()
    if rank == 1:
        part.fill_(float("nan"))
    sentence = refusal(optimizer.step)
    return {
        "sentence": sentence,
        "unchanged": all(torch.equal(v, before[n]) for n, v in whole(model).items()),
    }


def refused(rank: int, workers: int) -> dict[str, str]:
    sentences = {}
    model = built(shard=False)
    fully_shard(model)
    sentences["fully_shard"] = refusal(lambda: optimizer_of(model, "SGD"))
    mesh = init_device_mesh("cpu", (workers,))
    model = built(shard=False)
    model[1].core = nn.Parameter(distribute_tensor(model[1].core.data, mesh))
    sentences["tensor parallel"] = refusal(lambda: optimizer_of(model, "SGD"))
    model = nn.Sequential(built(shard=False))
    model[0][3] = FullyShardedDataParallel.__new__(FullyShardedDataParallel)  # which would want a GPU
    nn.Module.__init__(model[0][3])
    sentences["FSDP1"] = refusal(lambda: optimizer_of(model, "SGD"))
    sentences["save"] = refusal(lambda: rf.save(built(), "never_written.safetensors"))
    model = built(shard=False)
    model[1].core.ds_id = 0  # as DeepSpeed marks what it has partitioned
    sentences["ZeRO"] = refusal(lambda: optimizer_of(model, "SGD"))
    dist.barrier()
    return sentences

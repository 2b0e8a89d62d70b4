"""What may happen in a run of several workers beside plain training; each function is run by every worker."""

import copy
import gc
import os
import runpy
import tempfile
import time
import warnings
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.nn.functional as F
from tests.training.distributed.training import batch, network, train
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import rankfold as rf
from rankfold._checkpoint import _checkpoints
from rankfold.convert import factorized_layers, orthogonalize
from rankfold.regularize import SpectralPenalty, latent_dropout
from rankfold.training import OrthogonalDescent

SGD = torch.optim.SGD


def made(rank: int, name: str = "conv", **options: Any) -> tuple[nn.Module, rf.TDLRT]:
    model = network(name, seed=rank)
    return model, rf.TDLRT(
        model, SGD, **{"lr": 0.1, "momentum": 0.9, "tolerance": 0.2, "core_steps": 2, **options}
    )


def loss_of(run: nn.Module, rank: int, workers: int, step: int) -> torch.Tensor:
    x, y = batch(step, 24)
    return F.cross_entropy(run(x[rank::workers]), y[rank::workers])


def one(run: nn.Module, optimizer: torch.optim.Optimizer, rank: int, workers: int, step: int) -> None:
    optimizer.zero_grad()
    loss_of(run, rank, workers, step).backward()
    optimizer.step()


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def refusal(run: Any) -> str:
    """The sentence of the error that is raised, after the name of its class."""
    try:
        run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def nan_on_one(rank: int, workers: int, wrapped: bool) -> dict[str, Any]:
    model, optimizer = made(rank)
    run = DistributedDataParallel(model) if wrapped else model
    one(run, optimizer, rank, workers, 0)
    before, state = values(model), copy.deepcopy(optimizer.state_dict()["tdlrt"])

    def bad() -> None:
        optimizer.zero_grad()
        loss = loss_of(run, rank, workers, 1)
        (loss * float("nan") if rank == 1 else loss).backward()
        optimizer.step()

    sentence = refusal(bad)
    unchanged = all(torch.equal(value, before[name]) for name, value in values(model).items())
    same_cycle = optimizer.state_dict()["tdlrt"] == state
    for step in range(1, 4):
        one(run, optimizer, rank, workers, step)
    return {"sentence": sentence, "unchanged": unchanged and same_cycle, "after": values(model)}


def scaler(rank: int, workers: int, wrapped: bool) -> dict[str, Any]:
    """Infinity on one worker makes all skip the step and lower the scale."""
    model, optimizer = made(rank)
    run = DistributedDataParallel(model) if wrapped else model
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=100)
    scales = []
    for step in range(4):
        optimizer.zero_grad()
        loss = loss_of(run, rank, workers, step)
        factor = float("inf") if step == 1 and rank == workers - 1 else 1.0
        scaler.scale(loss * factor).backward()
        scaler.unscale_(optimizer)
        optimizer.clip_grad_norm_(1.0)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return {"scales": scales, "steps": optimizer.steps_done, "after": values(model)}


def different_models(rank: int, workers: int) -> dict[str, str]:
    return {
        "network": refusal(lambda: made(rank, "conv" if rank else "bare")),
        "option": refusal(lambda: made(rank, tolerance=0.1 + rank / 100)),
        "budget": refusal(lambda: made(rank, parameter_budget=500 + rank)),
    }


def different_ranks(rank: int, workers: int) -> dict[str, Any]:
    """Each worker starts at ranks of its own and takes those of the first."""
    model = network("conv", seed=rank)
    rf.set_ranks(model, {"3": 2 + rank})
    optimizer = rf.TDLRT(model, SGD, lr=0.1, tolerance=0.2, core_steps=1)
    start = model[3].ranks
    one(model, optimizer, rank, workers, 0)
    return {"start": start, "after": values(model)}


def new_ranks(rank: int, workers: int, wrapped: bool) -> dict[str, Any]:
    """Ranks are set in between, where every worker draws other random directions."""
    model, optimizer = made(rank)
    run = DistributedDataParallel(model) if wrapped else model
    one(run, optimizer, rank, workers, 0)
    torch.manual_seed(rank)
    rf.set_ranks(model, {"3": (9, 8)}, optimizer=optimizer)
    ranks = model[3].ranks
    for step in range(3):
        one(run, optimizer, rank, workers, step)
    return {"ranks": ranks, "after": values(model)}


def apart(rank: int, workers: int) -> str:
    """One worker ends its cycle alone."""
    model, optimizer = made(rank)
    one(model, optimizer, rank, workers, 0)
    if rank == 1:
        optimizer.truncate()
    return refusal(lambda: one(model, optimizer, rank, workers, 1))


def other_bits(rank: int, workers: int) -> str:
    """A factor differs in its last bit."""
    model, optimizer = made(rank)
    one(model, optimizer, rank, workers, 0)
    if rank == 1:
        factor = model[3].factor_0.data
        factor[0, 0] = torch.nextafter(factor[0, 0], torch.tensor(2.0, dtype=torch.float64))
    return refusal(lambda: one(model, optimizer, rank, workers, 1))


def wrapped_with(rank: int, workers: int, hook: str | None = None, **options: Any) -> dict[str, Any]:
    """An option of DistributedDataParallel, or a communication hook that it has before the optimiser comes."""
    model = network("conv", seed=rank)
    run = DistributedDataParallel(model, **options)
    calls: list[int] = []

    def mean(_: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        calls.append(bucket.buffer().numel())
        work = dist.all_reduce(bucket.buffer().div_(workers), async_op=True).get_future()
        return work.then(lambda future: future.value()[0])

    if hook == "mean":
        run.register_comm_hook(None, mean)
    if hook == "powerSGD":
        from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook

        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=2)
        run.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    optimizer = rf.TDLRT(run, SGD, lr=0.1, momentum=0.9, tolerance=0.2, core_steps=2)
    for step in range(7):
        one(run, optimizer, rank, workers, step)
    dense = sum(p.numel() for n, p in model.named_parameters() if "core" not in n and "factor" not in n)
    return {"after": values(model), "buckets": calls, "dense": dense}


def refused(rank: int, workers: int) -> dict[str, str]:
    model = network("conv")
    model.append(nn.Identity())
    plain = DistributedDataParallel(network("bare"))
    sentences = {
        "nothing left": refusal(lambda: rf.TDLRT(plain, SGD, lr=0.1)),
        "group": refusal(lambda: rf.TDLRT(model, SGD, lr=0.1, process_group="all")),
    }
    mixed = DistributedDataParallel(network("conv"))
    mixed.mixed_precision = object()  # as made with the option, which wants a GPU
    sentences["mixed precision"] = refusal(lambda: rf.TDLRT(mixed, SGD, lr=0.1))
    words = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(12, 3))
    rf.factorize(words, 2, include="2")
    optimizer = rf.TDLRT(words, SGD, lr=0.1)
    sentences["sparse"] = refusal(lambda: words(torch.tensor([[1, 2, 3]])).sum().backward())
    run = DistributedDataParallel(model)
    optimizer = rf.TDLRT(run, SGD, lr=0.1)
    with run.join():  # all leave together, as they have equal numbers of batches
        enabled = run._join_config
    run._join_config = enabled
    sentences["join"] = refusal(lambda: one(run, optimizer, rank, workers, 0))
    with mock.patch("torch.distributed.is_initialized", return_value=False):
        model, optimizer = made(rank)
    from torch.distributed.optim import ZeroRedundancyOptimizer  # the import warns

    sentences["ZeRO"] = refusal(lambda: rf.TDLRT(model, ZeroRedundancyOptimizer, lr=0.1))
    sentences["early"] = refusal(lambda: one(model, optimizer, rank, workers, 0))
    model, optimizer = made(rank, process_group=dist.new_group(list(range(workers))))
    sentences["copy"] = refusal(lambda: copy.deepcopy(optimizer))
    return sentences


def alone(rank: int, workers: int) -> dict[str, Any]:
    """Groups of one worker each: independent trainings."""
    group, _ = dist.new_subgroups(group_size=1)
    model, optimizer = made(rank, process_group=group)
    for step in range(3):
        one(model, optimizer, rank, workers, step)
    return values(model)


def copied(rank: int, workers: int) -> dict[str, Any]:
    """A copy of model and optimiser trains on among the workers, as the original does."""
    model, optimizer = made(rank)
    one(model, optimizer, rank, workers, 0)
    other, again = copy.deepcopy((model, optimizer))
    for step in (1, 2):
        one(model, optimizer, rank, workers, step)
    for step in (1, 2):
        one(other, again, rank, workers, step)
    return {"first": values(model), "second": values(other)}


def set_aside(rank: int, workers: int) -> dict[str, Any]:
    """Every worker may restore again at once, however long the first one takes to rename what is damaged."""
    model, optimizer = made(rank)
    where = [tempfile.mkdtemp()]
    dist.broadcast_object_list(where)
    checkpoints = rf.Checkpoints(where[0])
    paths = [checkpoints.save(model, step, optimizer=optimizer) for step in (1, 2)]
    if rank == 0:
        paths[1].write_bytes(paths[1].read_bytes()[:-9])
    dist.barrier()

    def slowly(found: list[Path]) -> None:
        time.sleep(0.3)
        rename(found)

    rename = _checkpoints.set_aside
    with warnings.catch_warnings(), mock.patch.object(_checkpoints, "set_aside", slowly):
        warnings.simplefilter("ignore")
        steps = [checkpoints.restore(model, optimizer=optimizer) for _ in range(2)]
    outside = dist.new_group([0])
    sentence = "" if rank == 0 else refusal(lambda: rf.Checkpoints(where[0], group=outside))
    return {"steps": [restored and restored.step for restored in steps], "outside": sentence}


def handed_on(rank: int, workers: int) -> dict[str, Any]:
    """In the middle of a cycle a copy goes on under a wrapper and another optimiser, which needs all gradients."""
    model, optimizer = made(rank, core_steps=3)
    one(model, optimizer, rank, workers, 0)
    other = copy.deepcopy(model)
    run = DistributedDataParallel(other)
    for step in (1, 2):
        one(run, torch.optim.SGD(other.parameters(), lr=0.1), rank, workers, step)
    return {"after": values(other), "gradients": [p.grad is not None for p in other.parameters()]}


def dropped(rank: int, workers: int) -> dict[str, Any]:
    """Whether models and optimisers that nobody needs are gone, and a layer that somebody kept still works."""
    model, optimizer = made(rank)
    one(model, optimizer, rank, workers, 0)
    kept = model[3]
    gone = [weakref.ref(model), weakref.ref(optimizer), weakref.ref(model[0])]
    del model, optimizer
    gc.collect()
    kept(torch.ones(2, kept.weight.shape[1], dtype=torch.float64)).sum().backward()
    return {"left": [reference() is not None for reference in gone], "gradient": kept.core.grad is not None}


def thawed(rank: int, workers: int) -> dict[str, Any]:
    """Biases that the wrapper knows as frozen train later, one under the same optimiser and one under the next."""
    model = network("conv", seed=rank)
    model[3].bias.requires_grad_(False)
    model[0].bias.requires_grad_(False)
    run = DistributedDataParallel(model)
    optimizer = rf.TDLRT(run, SGD, lr=0.1, tolerance=0.2, core_steps=2)
    one(run, optimizer, rank, workers, 0)
    start = model[3].bias.detach().clone()
    model[3].bias.requires_grad_(True)
    optimizer.add_param_group({"params": [model[3].bias]})
    one(run, optimizer, rank, workers, 1)
    model[0].bias.requires_grad_(True)
    one(run, rf.TDLRT(run, SGD, lr=0.1, tolerance=0.2), rank, workers, 2)
    return {"after": values(model), "moved": not torch.equal(start, model[3].bias)}


def messages(rank: int, workers: int) -> dict[str, Any]:
    """How often, and how many numbers, are sent for a step, also after another optimiser took the model over."""
    model, _ = made(rank)
    optimizer = rf.TDLRT(model, SGD, lr=0.1, core_steps=3, tolerance=0.2)
    counts = []
    send = dist.all_reduce

    def counting(tensor: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        counts.append(tensor.numel())
        return send(tensor, *arguments, **named)

    with mock.patch("torch.distributed.all_reduce", counting):
        one(model, optimizer, rank, workers, 0)
        optimizer.zero_grad()
        with optimizer.no_sync():
            loss_of(model, rank, workers, 1).backward()
            quiet = len(counts)
        sizes = {name: p.numel() for name, p in model.named_parameters()}
        optimizer.step()
    return {"counts": counts, "quiet": quiet, "sizes": sizes, "after": values(model)}


def resumed(rank: int, workers: int, wrapped: bool) -> dict[str, Any]:
    """A stored run, taken up by a new model at other ranks, goes on bit by bit as the first does."""

    def start(seed: int) -> tuple[nn.Module, nn.Module, rf.TDLRT]:
        model = network("conv", seed=seed)
        run = DistributedDataParallel(model) if wrapped else model
        return model, run, rf.TDLRT(run, torch.optim.Adam, lr=0.03, tolerance=0.2, core_steps=2)

    model, run, optimizer = start(rank)
    for step in range(4):
        one(run, optimizer, rank, workers, step)
    stored = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    other, again, second = start(rank + 5)
    before = [layer.ranks for _, layer in factorized_layers(other)]
    other.load_state_dict(stored[0])
    second.load_state_dict(stored[1])
    after = [layer.ranks for _, layer in factorized_layers(other)]
    for step in range(4, 8):
        one(run, optimizer, rank, workers, step)
    for step in range(4, 8):
        one(again, second, rank, workers, step)
    return {"first": values(model), "second": values(other), "ranks": [before, after]}


def compressed(rank: int, workers: int) -> dict[str, Any]:
    """Fine-tuning after compression, each worker with batches of its own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 5)).double()
    batches = [batch(step, 24) for step in range(3)]
    share = [(x[rank::workers], y[rank::workers]) for x, y in batches]
    plan = rf.FineTuning(batches=share, epochs=2, lr=0.1)
    rf.compress(model, 4, calibration=[x for x, _ in batches], finetune=plan)
    return {"after": values(model)}


def afterwards(rank: int, workers: int) -> dict[str, Any]:
    """The model goes on without the others; its optimiser does not."""
    model, optimizer = made(rank)
    one(model, optimizer, rank, workers, 0)
    dist.destroy_process_group()
    sentence = refusal(lambda: one(model, optimizer, rank, workers, 1))
    gradient = model[3].core.grad is not None
    again = rf.TDLRT(model, SGD, lr=0.1)
    one(model, again, 0, 1, 1)
    return {"sentence": sentence, "gradient": gradient, "steps": again.steps_done}


def script(rank: int, workers: int, file: Path, port: int) -> dict[str, Any]:
    """What a script leaves behind that ``torchrun`` would start, run in the folder where it lies."""
    dist.destroy_process_group()
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(workers), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.chdir(file.parent)
    left = runpy.run_path(str(file), run_name="__main__")
    return {name: values(model) for name, model in left.items() if isinstance(model, nn.Module)}


def helpers(rank: int, workers: int) -> dict[str, Any]:
    """A penalty in the loss, and rank dropout with other masks on every worker."""
    model = network("conv", seed=rank)
    latent_dropout(model, 0.3, min_size=2, generator=torch.Generator().manual_seed(rank))
    optimizer = rf.TDLRT(model, SGD, lr=0.1, tolerance=0.2, core_steps=2)
    penalty = SpectralPenalty(model, 1e-2)
    for step in range(4):
        optimizer.zero_grad()
        (loss_of(model, rank, workers, step) + penalty.penalty()).backward()
        optimizer.step()
    return {"after": values(model)}


def orthogonal(rank: int, workers: int) -> dict[str, Any]:
    """Two optimisers, one of them over an orthogonal matrix, beside DistributedDataParallel."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 12), nn.Tanh(), nn.Linear(12, 5)).double()
    orthogonalize(model, "direct", include="1")
    rf.factorize(model, 3, include="3")
    matrix = [p for name, p in model.named_parameters() if "original" in name and p.ndim >= 2]
    rest = [p for p in model.parameters() if not any(p is m for m in matrix)]
    run = DistributedDataParallel(model) if workers > 1 else model
    optimizer = rf.TDLRT(run, SGD, lr=0.1, tolerance=0.2, core_steps=2, param_groups=[{"params": rest}])
    turning = OrthogonalDescent(matrix, lr=0.05)
    for step in range(5):
        turning.zero_grad()
        one(run, optimizer, rank, workers, step)
        turning.step()
    return {"after": values(model), "matrices": len(matrix)}


def compiled(rank: int, workers: int) -> dict[str, Any]:
    """torch.compile around DistributedDataParallel, at ranks that change."""
    model = network("conv", seed=rank)
    run: Any = DistributedDataParallel(model)
    optimizer = rf.TDLRT(run, SGD, lr=0.1, tolerance=0.3, core_steps=2)
    fast = torch.compile(run, backend="aot_eager")
    for step in range(4):
        one(fast, optimizer, rank, workers, step)
    eager = train(rank, workers, way="ddp", steps=4, lr=0.1, momentum=0.0, tolerance=0.3, tolerance_warmup=0)
    return {"after": values(model), "eager": eager["parameters"]}

"""Checkpoints of two workers: one writes, all agree; the processes are started once and go through all cases."""

import multiprocessing
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import CheckpointError
from rankfold._collectives import workers_of
from rankfold.training import StopRequest


def network(size=6):
    model = nn.Sequential(nn.Linear(12, size), nn.ReLU(), nn.Linear(size, 3))
    rf.factorize(model, 3)
    return model


def built():
    model = network()
    return model, rf.TDLRT(model, torch.optim.Adam, lr=0.01, core_steps=2)


def step(model, optimizer):
    optimizer.zero_grad()
    (model(torch.randn(4, 12)) * random.random()).square().mean().backward()
    workers_of().mean_([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    optimizer.step()


def start(rank):
    torch.manual_seed(0)
    model, optimizer = built()
    torch.manual_seed(rank)
    random.seed(rank)
    return model, optimizer


def refused(call):
    try:
        call()
    except CheckpointError as error:
        return str(error)
    return None


def goes_on(rank, place):
    model, optimizer = start(rank)
    checkpoints = rf.Checkpoints(place / "steps", keep=2)
    for number in range(1, 8):
        step(model, optimizer)
        if number <= 4:
            checkpoints.save(model, number, optimizer=optimizer)
    random.seed(50 + rank)
    again, its_optimizer = built()
    restored = checkpoints.restore(again, optimizer=its_optimizer)
    for _ in range(3):
        step(again, its_optimizer)
    same = all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    return restored.step, same, sorted(path.name for path in (place / "steps").iterdir())


def damaged(rank, place):
    checkpoints = rf.Checkpoints(place / "steps")
    newest = checkpoints.paths()[0]
    workers_of().any(False)
    if rank == 0:
        newest.write_bytes(newest.read_bytes()[:-1])
    workers_of().any(False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = checkpoints.restore(built()[0])
    workers_of().any(False)
    return restored.step, len(caught), newest.exists()


def other_folders(rank, place):
    return refused(lambda: rf.Checkpoints(place / ("steps" if rank else "nothing")).restore(built()[0]))


def other_steps(rank, place):
    return refused(lambda: rf.Checkpoints(place / "steps").save(built()[0], 10 + rank))


def no_room(rank, place):
    (place / "file").touch()
    return refused(lambda: rf.Checkpoints(place / "file" / "deep").save(built()[0], 1))


def one_that_does_not_fit(rank, place):
    return refused(lambda: rf.Checkpoints(place / "steps").restore(network(6 + rank)))


def one_is_asked_to_stop(rank, place):
    stop = StopRequest()
    stop.requested = rank == 1
    return stop.anywhere()


CASES = [goes_on, damaged, other_folders, other_steps, no_room, one_that_does_not_fit, one_is_asked_to_stop]


def work(rank, place, results):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/store", rank=rank, world_size=2)
    for case in CASES:
        results.put((case.__name__, rank, case(rank, Path(place))))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    place = tmp_path_factory.mktemp("workers")
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=work, args=(rank, str(place), queue)) for rank in range(2)]
    for process in processes:
        process.start()
    try:
        found = [queue.get(timeout=120) for _ in range(2 * len(CASES))]
    finally:
        for process in processes:
            process.join(30)
            process.kill()
    by_case: dict[str, list[Any]] = {case.__name__: [None, None] for case in CASES}
    for name, rank, value in found:
        by_case[name][rank] = value
    return by_case


def test_both_go_on_bit_for_bit_with_their_own_random_states(results):
    files = [f"step-000000000{number}.safetensors" for number in (3, 4)]
    assert results["goes_on"] == [(4, True, files)] * 2


def test_damage_is_passed_over_by_both(results):
    assert [value[:2] for value in results["damaged"]] == [(3, 1)] * 2
    assert not results["damaged"][0][2]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("other_folders", ["the workers see different checkpoints"] * 2),
        ("other_steps", ["another worker saves another step"] * 2),
        ("no_room", ["Not a directory", "went wrong on another worker"]),
        ("one_that_does_not_fit", ["went wrong on another worker", "does not fit the model"]),
    ],
)
def test_what_goes_wrong_for_one_does_for_both(results, case, words):
    assert all(word in said for word, said in zip(words, results[case], strict=True)), results[case]


def test_all_stop_where_one_is_asked(results):
    assert results["one_is_asked_to_stop"] == [True, True]

"""TDLRT prepared by Accelerate: accumulation, clipping, checkpoints at other ranks, mixed precision."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import rankfold as rf

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")

INPUTS = torch.randn(120, 36, generator=torch.Generator().manual_seed(1))
DATA = TensorDataset(INPUTS, (INPUTS.mean(1) > 0).long())


@pytest.fixture(autouse=True)
def fresh_state():
    """What Accelerate keeps for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


def network(rank=0.9):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 2))
    rf.factorize(model, rank, rescale=True)
    return model


def tdlrt(model, core_steps=3):
    return rf.TDLRT(model, torch.optim.Adam, lr=5e-3, tolerance=0.3, core_steps=core_steps, accumulate=True)


def prepared(model, optimizer, **options):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2, **options)
    return accelerator, *accelerator.prepare(model, optimizer, DataLoader(DATA, 10))


def train(accelerator, tdlrt, model, optimizer, loader):
    for x, y in loader:
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.cross_entropy(model(x), y))
            if accelerator.sync_gradients:
                tdlrt.clip_grad_norm_(0.1)
            optimizer.step()
            optimizer.zero_grad()


def same(one, two):
    one, two = one.state_dict(), two.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("core_steps", [1, 3])
def test_it_trains_as_a_plain_loop_does(core_steps):
    plain, model = network(), network()
    optimizer = tdlrt(plain, core_steps)
    for number, (x, y) in enumerate(DataLoader(DATA, 10)):
        nn.functional.cross_entropy(plain(x), y).div(2).backward()
        if number % 2:
            optimizer.clip_grad_norm_(0.1)
            optimizer.step()
            optimizer.zero_grad()
    wrapped = tdlrt(model, core_steps)
    train_it = prepared(model, wrapped)
    train(train_it[0], wrapped, *train_it[1:])
    assert same(plain, model)
    assert optimizer.steps_done == 6
    assert optimizer.records.keys() == wrapped.records.keys() == {"0", "2"}


def test_a_saved_state_with_other_ranks_resumes_bit_for_bit(tmp_path):
    whole = network()
    optimizer = tdlrt(whole)
    accelerator, *rest = prepared(whole, optimizer)
    train(accelerator, optimizer, *rest)
    accelerator.save_state(str(tmp_path))
    assert optimizer._ranks_before  # the middle of a cycle
    train(accelerator, optimizer, *rest)

    model = network(rank=0.2)
    again = tdlrt(model)
    accelerator, *rest = prepared(model, again)
    accelerator.load_state(str(tmp_path))
    assert again.steps_done == 6
    train(accelerator, again, *rest)
    assert same(whole, model)


def test_mixed_precision():
    model = network()
    optimizer = tdlrt(model)
    accelerator, *rest = prepared(model, optimizer, mixed_precision="bf16")
    for _ in range(8):
        train(accelerator, optimizer, *rest)
    optimizer.truncate()
    assert nn.functional.cross_entropy(model(INPUTS), DATA.tensors[1]) < 0.6
    assert max(float(layer.tucker.orthonormality_defect()) for layer in optimizer.layers.values()) < 1e-5

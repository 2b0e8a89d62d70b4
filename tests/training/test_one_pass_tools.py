"""Steps from one backward pass beside the other tools of torch: copies, files, compilers, transforms."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt
from tests.training.one_pass import DOUBLE, backward, classify, close, refused, trained
from tests.training.problems import random_tensor
from torch import nn
from torch.utils.checkpoint import checkpoint

from rankfold.convert import factorized_layers
from rankfold.layers import Conv1d, Conv2d, Linear


def test_compiled_layers_take_two_calls():
    models, calls = [], []
    for compiled in (False, True):
        model = network(dtype=DOUBLE).eval()
        optimizer = tdlrt(model, core_steps=1)
        run = torch.compile(model, backend="eager") if compiled else model
        for _ in range(6 if compiled else 3):
            optimizer.zero_grad()
            F.cross_entropy(run(batch(0, dtype=DOUBLE)[0]), batch(0)[1]).backward()
            optimizer.step()
            calls.append({record.step for record in optimizer.records.values()})
        models.append(model)
    assert calls == [{1}, {2}, {3}, set(), {2}, {2}, {4}, {4}, {6}]
    assert all(layer.weight.isfinite().all() for _, layer in factorized_layers(models[1]))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own rules for jvp
def test_transforms_see_through_layers_with_an_optimiser():
    model = network(dtype=DOUBLE).eval()
    optimizer = tdlrt(model, core_steps=1)
    x, y = batch(0, dtype=DOUBLE)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters):
        return F.cross_entropy(torch.func.functional_call(model, parameters, (x,)), y)

    found = torch.func.grad(loss)(parameters)
    with torch.no_grad():
        mapped = torch.vmap(lambda image: model(image[None])[0])(x)
        torch.testing.assert_close(mapped, model(x))
    _, tangent = torch.func.jvp(model, (x,), (torch.ones_like(x),))
    moved = (model(x + 1e-6) - model(x - 1e-6)) / 2e-6
    torch.testing.assert_close(tangent, moved, rtol=1e-5, atol=1e-6)
    backward(model)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
    optimizer.step()
    assert {record.step for record in optimizer.records.values()} == {1}


def test_a_functional_call_takes_two_calls_or_one_of_the_right_gradient():
    models = []
    for functional in (False, True):
        model = network(dtype=DOUBLE).eval()
        optimizer = tdlrt(model, core_steps=1)
        for _ in range(2):
            optimizer.zero_grad()
            x, y = batch(0, dtype=DOUBLE)
            own = dict(model.named_parameters())
            output = torch.func.functional_call(model, own, (x,)) if functional else model(x)
            F.cross_entropy(output, y).backward()
            optimizer.step()
            if {record.step for record in optimizer.records.values()} == {1}:
                break
        models.append(model)
    close(*models)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers(reentrant):
    def loss(model, step, check=False):
        x, y = batch(step, dtype=DOUBLE)
        x.requires_grad_()
        return F.cross_entropy(checkpoint(model, x, use_reentrant=reentrant) if check else model(x), y)

    plain = trained(lambda: network(dtype=DOUBLE).eval(), loss, closure=False)
    close(plain, trained(lambda: network(dtype=DOUBLE).eval(), partial(loss, check=True), closure=False))


def test_hooks_on_saved_tensors_and_modules():
    def loss(model, step):
        with torch.autograd.graph.save_on_cpu():
            return classify(model, step)

    plain = trained(lambda: network(dtype=DOUBLE), classify, closure=False)
    close(plain, trained(lambda: network(dtype=DOUBLE), loss, closure=False))


def test_a_penalty_on_input_gradients_is_refused_or_exact():
    def loss(model, step):
        x, y = batch(step, dtype=DOUBLE)
        output = model(x.requires_grad_())
        (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
        return F.cross_entropy(output, y) + 0.1 * slope.square().sum()

    model = network(dtype=DOUBLE).eval()
    optimizer = tdlrt(model, core_steps=1)
    loss(model, 0).backward()
    refused(model, optimizer, "closure")
    trained(lambda: network(dtype=DOUBLE).eval(), loss, closure=True)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_of_a_model_in_use_trains_under_another_optimiser(way):
    model = network()
    optimizer = tdlrt(model, core_steps=1)
    one_step(model, optimizer, 0)
    F.cross_entropy(model(batch(1)[0]), batch(1)[1]).backward()
    twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert all(layer.one_pass is None for _, layer in factorized_layers(twin))
    before = snapshot(model)
    plain = torch.optim.SGD(twin.parameters(), lr=0.1)
    halfway = snapshot(twin)
    one_step(twin, plain, 2)
    assert same(before, snapshot(model))
    assert all(
        not torch.equal(value, halfway[name]) for name, value in twin.state_dict().items() if "factor" in name
    )
    optimizer.step()  # the gradients of the original are still its own
    assert {record.step for record in optimizer.records.values()} == {2}


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies_of_model_and_optimiser_go_on_alike(way):
    model = network()
    both = (model, tdlrt(model, torch.optim.AdamW, core_steps=1))
    for seed in range(3):
        one_step(*both, seed)
    twins = copy.deepcopy(both) if way == "deepcopy" else pickle.loads(pickle.dumps(both))
    for seed in range(3, 6):
        one_step(*both, seed)
        one_step(*twins, seed)
    assert same(snapshot(model), snapshot(twins[0]))


def test_copies_between_two_passes_of_a_step():
    model = network().eval()
    optimizer = tdlrt(model, core_steps=1, accumulate=True)
    F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    optimizer.step()
    one_step(twin, twin_optimizer, 1)
    assert {record.step for record in optimizer.records.values()} == {1}


def test_jacobians_of_parameters_in_one_batch():
    torch.manual_seed(0)
    model = nn.Sequential(Linear(5, 4, rank=2)).double()
    tdlrt(model, core_steps=1)
    x = random_tensor(3, 5)
    wanted = [model[0].core, *model[0].factors.values()]
    directions = torch.eye(12, dtype=DOUBLE).view(12, 3, 4)
    found = torch.autograd.grad(model(x), wanted, directions, is_grads_batched=True)
    for index, direction in enumerate(directions):
        for part, one in zip(found, torch.autograd.grad(model(x), wanted, direction), strict=True):
            torch.testing.assert_close(part[index], one)


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("accumulate", [False, True])
def test_state_dicts_resume_bit_for_bit(accumulate, inner):
    model = network(rank=2)
    optimizer = tdlrt(model, inner, core_steps=1, accumulate=accumulate)
    for seed in range(4):
        one_step(model, optimizer, seed)
    saved = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    states = torch.load(saved, weights_only=True)
    resumed = network(seed=1, rank=3)
    again = tdlrt(resumed, inner, core_steps=1, accumulate=accumulate)
    F.cross_entropy(resumed(batch(9)[0]), batch(9)[1]).backward()  # what was collected before is forgotten
    resumed.load_state_dict(states["model"])
    again.load_state_dict(states["optimizer"])
    for seed in range(4, 8):
        one_step(model, optimizer, seed)
        one_step(resumed, again, seed)
    assert same(snapshot(model), snapshot(resumed))


def test_frozen_bases_end_the_collecting():
    model = network()
    optimizer = tdlrt(model, core_steps=1, freeze_bases_after=2)
    for seed in range(2):
        one_step(model, optimizer, seed)
    before = snapshot(model)
    for seed in range(2, 5):
        one_step(model, optimizer, seed)
    assert all(
        torch.equal(v, before[n]) == ("factor" in n or "ranks" in n) for n, v in model.state_dict().items()
    )
    assert {record.step for record in optimizer.records.values()} == {2}


def test_a_closure_that_fails_leaves_the_next_step_exact():
    models = []
    for fails in (False, True):
        model = network(dtype=DOUBLE)
        optimizer = tdlrt(model, core_steps=1)
        if fails:
            with pytest.raises(ZeroDivisionError):
                optimizer.step(lambda: 1 / 0)
        one_step(model, optimizer, 0)
        assert {record.step for record in optimizer.records.values()} == {1}
        models.append(model)
    close(*models)


def test_layers_without_gradient_sit_out():
    model = nn.ModuleDict({"used": Linear(6, 5, rank=2), "unused": Linear(6, 5, rank=2)})
    optimizer = tdlrt(model, core_steps=1)
    before = snapshot(model["unused"])
    for seed in range(3):
        optimizer.zero_grad()
        model["used"](random_tensor(4, 6, seed=seed, dtype=torch.float32)).square().mean().backward()
        optimizer.step()
    assert set(optimizer.records) == {"used"}
    assert optimizer.records["used"].step == 3
    assert same(before, snapshot(model["unused"]))


def test_empty_batches_and_single_examples():
    layers = [Linear(8, 6, rank=2), Conv2d(16, 32, 3, rank=4), Conv1d(4, 6, 3, rank=2)]
    shapes = [(0, 8), (0, 16, 5, 5), (4, 9)]
    for layer, shape in zip(layers, shapes, strict=True):
        model = nn.Sequential(layer)
        optimizer = tdlrt(model, core_steps=1)
        model(torch.ones(shape)).sum().backward()
        optimizer.step()
        assert optimizer.records["0"].step == 1
        assert bool(layer.core.isfinite().all())

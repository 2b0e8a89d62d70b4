"""What happens to the optimiser when the ranks of its model are set."""

import copy

import pytest
import torch
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt
from tests.training.problems import random_tensor
from torch import nn

from rankfold import OptimizerError, set_ranks
from rankfold.convert import factorized_layers
from rankfold.layers import Linear
from rankfold.linalg import mode_products, orthonormality_defect
from rankfold.training import INTEGRATORS

F64 = torch.float64
PLAIN = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def trained(inner: str, steps: int = 3):
    model = network(dtype=F64, rank=3)
    # A frozen TDLRT takes core steps only.
    classes = {"tdlrt-sgd": torch.optim.SGD, "tdlrt-adam": torch.optim.AdamW}
    if inner in classes:
        optimizer = tdlrt(model, classes[inner], freeze_bases_after=0)
    else:
        optimizer = PLAIN[inner](model.parameters())
    for seed in range(steps):
        one_step(model, optimizer, seed)
    return model, optimizer


@pytest.mark.parametrize("inner", [*PLAIN, "tdlrt-sgd", "tdlrt-adam"])
def test_the_next_step_of_the_old_coordinates_is_unchanged_when_nothing_is_cut(inner) -> None:
    model, optimizer = trained(inner)
    wider, other = copy.deepcopy((model, optimizer))
    set_ranks(wider, {"0": (5, 2), "4": (7, 6)}, optimizer=other)
    for m, o in ((model, optimizer), (wider, other)):
        one_step(m, o, 9)
    moved = 0.0
    for (name, old), (_, new) in zip(model.named_parameters(), wider.named_parameters(), strict=True):
        if name == "0.bias":
            continue  # batch norm takes it out again: its gradient is rounding, which Adam makes large
        new, old = new.detach(), old.detach()
        block = new[tuple(slice(size) for size in old.shape)]
        torch.testing.assert_close(block, old, rtol=1e-10, atol=1e-12, msg=name)
        moved += float(new.abs().sum() - block.abs().sum()) if name.endswith("core") else 0.0
    assert moved > 0  # the new entries take part


@pytest.mark.parametrize("inner", [*PLAIN, "tdlrt-sgd", "tdlrt-adam"])
def test_up_and_down_without_a_step_between_is_no_change(inner) -> None:
    """Cutting what is zero loses nothing; the momentum of the weight is the same afterwards."""
    model, optimizer = trained(inner)
    wider, other = copy.deepcopy((model, optimizer))
    ranks = {name: layer.ranks for name, layer in factorized_layers(model)}
    set_ranks(wider, {"0": (5, 2), "4": (7, 6)}, optimizer=other)
    records = set_ranks(wider, ranks, optimizer=other)
    for name, record in records.items():
        assert record.ranks == ranks[name]
        assert record.truncation_error < 1e-7
        for one, two in zip(_momenta(model, optimizer), _momenta(wider, other), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def _momenta(model, optimizer):
    """First moments of the cores, as tensors of the weight's shape: these do not depend on coordinates.

    A gradient is dual to a core; where factors are not orthonormal it takes their pseudo-inverse.
    """
    for _, layer in factorized_layers(model):
        state = optimizer.state[layer.core]
        moment = state.get("momentum_buffer", state.get("exp_avg"))
        yield mode_products(moment, {m: torch.linalg.pinv(f.detach()).mT for m, f in layer.factors.items()})


@pytest.mark.parametrize("orthonormal", [True, False])
def test_momentum_after_a_cut_is_that_of_the_cut_models_gradients(orthonormal) -> None:
    """Nothing is lost by the cut and nothing moves, so both orders must give the same sums of gradients."""
    layer = Linear(9, 7, rank=4, dtype=F64)
    with torch.no_grad():
        layer.core[2:] = 0
        layer.core[:, 2:] = 0
        if not orthonormal:  # the same weight in skewed coordinates
            for mode, factor in layer.factors.items():
                skew = torch.eye(4, dtype=F64) + 0.3 * random_tensor(4, 4, seed=mode)
                factor.copy_(factor @ skew)
                layer.core.copy_(mode_products(layer.core, {mode: torch.linalg.inv(skew)}))
    model = nn.Sequential(layer)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    first, second = copy.deepcopy((model, optimizer)), copy.deepcopy((model, optimizer))

    def steps(model, optimizer):
        for seed in range(4):
            optimizer.zero_grad()
            model(random_tensor(6, 9, seed=seed)).square().sum().backward()
            optimizer.step()

    steps(*first)
    for twin, its_optimizer in (first, second):
        record = set_ranks(twin, 2, optimizer=its_optimizer)["0"]
        assert record.truncation_error < 1e-7
    steps(*second)
    for one, two in zip(first[0].parameters(), second[0].parameters(), strict=True):
        torch.testing.assert_close(
            first[1].state[one]["momentum_buffer"],
            second[1].state[two]["momentum_buffer"],
            rtol=1e-9,
            atol=1e-11,
        )


@pytest.mark.parametrize("inner", [*PLAIN, "tdlrt-sgd", "tdlrt-adam"])
def test_the_step_after_a_cut_has_state_of_the_right_shape_and_sign(inner) -> None:
    model, optimizer = trained(inner)
    set_ranks(model, {"0": (2, 2), "4": (5, 1)}, optimizer=optimizer)  # one mode up, the other down
    for state_of, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.ndim:
                assert value.shape == state_of.shape
                assert "sq" not in name or bool((value >= 0).all())
    assert torch.isfinite(torch.tensor(one_step(model, optimizer, 5)))


@pytest.mark.parametrize("integrator", sorted(INTEGRATORS))
@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("stop", [4, 6], ids=["between-cycles", "in-a-cycle"])
def test_tdlrt_goes_on_learning(integrator, inner, stop) -> None:
    model = network(rank=4)
    optimizer = tdlrt(model, inner, integrator=integrator, tolerance=0.02)
    losses = [one_step(model, optimizer, 0) for _ in range(stop)]
    set_ranks(model, {"0": (6, 2), "4": 8, "6": 2}, optimizer=optimizer)
    assert [model[i].ranks for i in (0, 4, 6)] == [(6, 2, 3, 3), (8, 8), (2, 2)]
    losses += [one_step(model, optimizer, 0) for _ in range(24)]
    optimizer.truncate()
    assert losses[-1] < 0.8 * losses[stop]
    for _, layer in factorized_layers(model):
        for factor in layer.factors.values():
            assert float(orthonormality_defect(factor.detach())) < 1e-5
    if integrator == "fixed":
        assert model[4].ranks == (8, 8)


@pytest.mark.parametrize("inner", sorted(PLAIN))
def test_plain_optimisers_go_on_learning(inner) -> None:
    model = network(rank=4)
    optimizer = PLAIN[inner](model.parameters())
    losses = [one_step(model, optimizer, 0) for _ in range(5)]
    set_ranks(model, {"0": (6, 2), "4": 8, "6": 2}, optimizer=optimizer)
    losses += [one_step(model, optimizer, 0) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[5]


def test_in_the_middle_of_a_cycle_the_pending_truncation_comes_first() -> None:
    model = network(rank=2)
    optimizer = tdlrt(model)
    for seed in range(2):  # a basis step and one of three core steps
        one_step(model, optimizer, seed)
    assert model[4].ranks == (4, 4)
    twin, other = copy.deepcopy((model, optimizer))
    other.truncate()
    set_ranks(model, {"4": 5}, optimizer=optimizer)
    assert model[4].ranks == (5, 5)
    assert same(snapshot(model[0]), snapshot(twin[0]))
    torch.testing.assert_close(model[4].weight, twin[4].weight)
    assert optimizer.records["4"].ranks == twin[4].ranks


def test_without_a_step_behind_it_an_optimiser_of_any_class_will_do() -> None:
    model = network()
    optimizer = torch.optim.Adagrad(model.parameters(), initial_accumulator_value=0.0)
    optimizer.state.clear()  # as of classes that fill their state at the first step
    set_ranks(model, 2, optimizer=optimizer)
    assert model[4].ranks == (2, 2)


def test_an_optimiser_left_behind_says_what_to_do() -> None:
    model = network(rank=2)
    optimizer = tdlrt(model)
    one_step(model, optimizer, 0)
    set_ranks(model, 3)
    with pytest.raises(OptimizerError, match="pass the optimiser to set_ranks"):
        one_step(model, optimizer, 1)


def test_gradients_of_changed_layers_are_cleared_and_others_kept() -> None:
    model = network(rank=2)
    optimizer = tdlrt(model)
    x, _ = batch()
    model(x).sum().backward()
    kept = model[0].core.grad.clone()
    set_ranks(model, {"4": 3}, optimizer=optimizer)
    assert model[4].core.grad is None
    assert torch.equal(model[0].core.grad, kept)


def test_exact_steps_after_it_are_exact_ones() -> None:
    """One backward, one cycle: what the layers collect follows the new ranks."""
    model = network(rank=2)
    optimizer = tdlrt(model, core_steps=1, tolerance=1e-3)
    for seed in range(3):
        one_step(model, optimizer, seed)
    x, y = batch(3)
    torch.nn.functional.cross_entropy(model(x), y).backward()
    set_ranks(model, {"4": 5}, optimizer=optimizer)  # between backward and step
    losses = [one_step(model, optimizer, 3) for _ in range(20)]
    assert losses[-1] < losses[0]

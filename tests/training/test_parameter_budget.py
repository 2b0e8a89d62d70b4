"""One budget over all layers: what it keeps is what carries most, and what it cannot meet is refused."""

from itertools import product as combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rankfold as rf
from rankfold import OptionError
from rankfold.formats import parameters_at, truncate_cores, within_budget


def cores(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in shapes:
        core = torch.randn(shape, dtype=torch.float64, generator=generator)
        scale = torch.logspace(0, -2, shape[0], dtype=torch.float64)
        made.append(core * scale.reshape(-1, *[1] * (len(shape) - 1)))
    return truncate_cores(made, [(0, 1)] * len(shapes), tolerance=0.0)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    share=st.floats(0.05, 1.0),
    quantum=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_the_budget_is_kept_and_no_more_is_cut_than_one_move_asks_for(sizes, share, quantum, seed):
    results = cores([(r, c) for r, c in sizes], seed)
    shapes = [(3 * r, 4 * c) for r, c in sizes]
    modes = [(0, 1)] * len(sizes)
    spent = [
        parameters_at(shape, (0, 1), result.core.shape) for shape, result in zip(shapes, results, strict=True)
    ]
    least = sum(parameters_at(shape, (0, 1), (1, 1)) for shape in shapes)
    budget = max(least, int(share * sum(spent)))
    cut = within_budget(results, shapes, modes, budget, min_rank=1, quantum=quantum)
    after = [
        parameters_at(shape, (0, 1), result.core.shape) for shape, result in zip(shapes, cut, strict=True)
    ]
    assert sum(after) <= budget
    assert sum(spent) > budget or after == spent
    for before, result in zip(results, cut, strict=True):
        lost = before.core.square().sum() - result.core.square().sum()
        torch.testing.assert_close(result.error.square() - before.error.square(), lost, rtol=1e-9, atol=1e-12)


def test_equal_matrices_keep_the_largest_singular_values_of_all():
    results = cores([(6, 6)] * 3, 1)
    shapes, modes = [(20, 30)] * 3, [(0, 1)] * 3
    values = [result.spectra[0] for result in results]
    kept = within_budget(results, shapes, modes, 7 * 50 + 30, min_rank=1, quantum=1)
    ranks = [result.core.shape[0] for result in kept]

    def fits(trial):
        return sum(parameters_at((20, 30), (0, 1), (rank, rank)) for rank in trial) <= 7 * 50 + 30

    def energy(trial):
        return sum(float(value[:rank].square().sum()) for value, rank in zip(values, trial, strict=True))

    best = max(filter(fits, combinations(range(1, 7), repeat=3)), key=energy)
    assert energy(ranks) >= 0.999 * energy(best)


def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))
    rf.factorize(net, 4)
    return net


@pytest.mark.parametrize("quantum", [1, 2])
def test_convolutions_and_matrices_share_one_budget(quantum):
    net = model()
    optimizer = rf.TDLRT(
        net,
        torch.optim.SGD,
        lr=0.01,
        core_steps=2,
        tolerance=0.0,
        parameter_budget=500,
        rank_quantum=quantum,
        min_rank=2,
    )
    x = torch.randn(8, 4, 6, 6)
    for _ in range(6):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert sum(layer.tucker.num_parameters for layer in optimizer.layers.values()) <= 500
    assert all(layer.ranks[mode] >= 2 for layer in optimizer.layers.values() for mode in layer.modes)
    assert any(record.rank_capped for record in optimizer.records.values())


def test_a_layer_without_gradient_counts_as_it_is():
    net = model()
    optimizer = rf.TDLRT(net, torch.optim.SGD, lr=0.01, core_steps=1, tolerance=0.0, parameter_budget=900)
    x = torch.randn(8, 4, 6, 6)
    optimizer.zero_grad()
    net[0](x).square().mean().backward()
    optimizer.step()
    assert set(optimizer.records) == {"0"}
    assert sum(layer.tucker.num_parameters for layer in optimizer.layers.values()) <= 900


def sizes_of_a_run(optimizer, steps):
    x, found = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(1)), []
    for _ in range(steps):
        optimizer.zero_grad()
        optimizer.model(x).square().mean().backward()
        optimizer.step()
        found.append(sizes_now(optimizer))
    return found


def sizes_now(optimizer):
    return sum(layer.tucker.num_parameters for layer in optimizer.layers.values())


def test_over_the_warm_up_the_budget_falls_from_the_first_size():
    def built():
        return rf.TDLRT(
            model(),
            torch.optim.SGD,
            lr=0.01,
            core_steps=1,
            tolerance=0.0,
            parameter_budget=500,
            budget_warmup=8,
        )

    optimizer = built()
    first = sizes_now(optimizer)
    budgets = [500 + (first - 500) * (8 - step) // 8 for step in range(1, 9)] + [500]
    sizes = sizes_of_a_run(optimizer, 9)
    assert all(size <= budget for size, budget in zip(sizes, budgets, strict=True))
    assert sizes[0] > 500 >= sizes[-1]

    # One that is built on smaller layers and takes up another's state goes on from the other's first size.
    half = built()
    sizes_of_a_run(half, 4)
    smaller = rf.TDLRT(
        half.model,
        torch.optim.SGD,
        lr=0.01,
        core_steps=1,
        tolerance=0.0,
        parameter_budget=500,
        budget_warmup=8,
    )
    assert smaller.current_budget == sizes_now(half)
    smaller.load_state_dict(half.state_dict())
    assert smaller.current_budget == half.current_budget == budgets[3]


def test_the_least_budget_counts_ranks_that_can_be():
    net = nn.Sequential(nn.Linear(3, 10, bias=False))
    rf.factorize(net, 1)
    least = 10 * 3 + 3 * 3 + 3 * 3  # of the 5 that min_rank asks for, 3 can be
    arguments = {"lr": 0.1, "min_rank": 5, "tolerance": 0.0}
    rf.TDLRT(net, torch.optim.SGD, parameter_budget=least, **arguments)
    with pytest.raises(OptionError, match=f"have {least} parameters"):
        rf.TDLRT(net, torch.optim.SGD, parameter_budget=least - 1, **arguments)


def test_refusals():
    for wrong in (0, -5, 2.5, True):
        with pytest.raises(OptionError, match="parameter_budget"):
            rf.TDLRT(model(), torch.optim.SGD, lr=0.1, parameter_budget=wrong)
    with pytest.raises(OptionError, match="at min_rank=2 the layers have"):
        rf.TDLRT(model(), torch.optim.SGD, lr=0.1, min_rank=2, parameter_budget=100)
    with pytest.raises(OptionError, match="fixed"):
        rf.TDLRT(model(), torch.optim.SGD, lr=0.1, integrator="fixed", parameter_budget=5000)

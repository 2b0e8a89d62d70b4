"""The study of equal budgets: every method keeps to its budget, and what is told small is what was asked for."""

import math

import pytest
import torch
from torch import nn

from rankfold import factorize
from rankfold.regularize import hadamard
from rankfold.studies import Records, Setting, judge
from rankfold.studies import _compression_training as training
from rankfold.studies._compression_methods import Start, parameters_left, rounds_to_share
from rankfold.studies._compression_networks import NETWORKS, Split
from rankfold.studies._compression_training import train_case
from rankfold.studies._equal_budget import EQUAL_BUDGET
from rankfold.studies._equal_budget_methods import BUDGET_METHODS, _zero_all_but, largest_rank

SETTINGS = {
    "images": 160,
    "held_out": 20,
    "test_images": 20,
    "epochs": 1,
    "batch_size": 16,
    "label_smoothing": 0.0,
}


@pytest.fixture
def noise(monkeypatch):
    def load(name, data_dir, images, held_out, test_images, pooled):
        generator = torch.Generator().manual_seed(0)

        def drawn(count):
            inputs = torch.rand(count, 1, 28 // pooled, 28 // pooled, generator=generator)
            return inputs, torch.randint(10, (count,), generator=generator)

        return Split(drawn(images), drawn(held_out), drawn(test_images), 10)

    monkeypatch.setattr(training, "load_split", load)


@pytest.mark.parametrize("share", [0.1, 0.03])
@pytest.mark.parametrize("network", ["lenet5", "small_vgg"])
@pytest.mark.parametrize("method", [name for name in BUDGET_METHODS if name != "dense"])
def test_every_method_keeps_to_its_budget(noise, network, method, share):
    case = {
        "network": network,
        "method": method,
        "point": share,
        "learning_rate": 0.01,
        "weight_decay": 5e-4,
        "seed": 1,
    }
    record = train_case({**case, **SETTINGS}, Setting(), BUDGET_METHODS)
    assert not record["diverged"]
    # One rank for all layers leaves up to a quarter of so small a budget unused.
    budget = round(share * record["parameters_dense"])
    assert 0.75 * budget < record["parameters"] <= budget


def test_the_largest_common_rank():
    spec = NETWORKS["small_vgg"]
    torch.manual_seed(0)
    batch = (torch.zeros(1, 1, 14, 14), torch.zeros(1, dtype=torch.long))
    start = Start(spec.build(10), spec, 0.1, batch, 100, {}, 0)
    rank = largest_rank(start, 6000)
    left = []
    for tried in (rank, rank + 1):
        network = spec.build(10)
        factorize(network, tried, include=list(spec.compressed))
        left.append(parameters_left(network, spec))
    assert left[0] <= 6000 < left[1]


def test_zeros_of_elementwise_factors_stay():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    hadamard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for step in range(6):
        optimizer.zero_grad()
        model(torch.randn(4, 6)).square().mean().backward()
        optimizer.step()
        if step == 2:
            _zero_all_but(model, optimizer, 10)
            kept = [model[index].weight != 0 for index in (0, 2)]
    assert sum(int(mask.sum()) for mask in kept) == 10
    assert all(
        bool(((model[index].weight != 0) == mask).all()) for index, mask in zip((0, 2), kept, strict=True)
    )


def test_rounds_end_at_the_share():
    rounds = rounds_to_share(0.03, 1000)
    assert list(rounds) == [200, 300, 400, 500, 600]
    assert math.isclose(rounds[600], 0.03)


def test_a_budget_that_is_exceeded_is_seen():
    cases = EQUAL_BUDGET.cases({**EQUAL_BUDGET.quick, "seeds": 1})
    rows = [
        {
            **case,
            "accuracy": 90.0 + (case["method"] in ("tdlrt", "parallel")),
            "held_out_accuracy": 90.0,
            "compression": 90.0,
            "parameters": int(case["point"] * 1000) + 5 * (case["method"] == "gated"),
            "parameters_dense": 1000,
            "seconds": 1.0,
            "diverged": False,
        }
        for case in cases
    ]
    found = {finding.name: finding for finding in judge(EQUAL_BUDGET.checks, Records(cases, rows))}
    assert not found.pop("budget").holds
    assert {finding.value for finding in found.values()} == {1.0}

"""Averages of weights while ranks and bases change: of the dense weights, never of cores and factors."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

import rankfold as rf

DECAY = 0.9
INPUTS = torch.randn(48, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = (INPUTS.mean((1, 2, 3)) > 0).long()


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 2)
    ).double()  # fmt: skip
    rf.factorize(model, 0.9, rescale=True)
    return model


def trained(model, **options):
    """After every step; the model changes in place."""
    settings = {"lr": 0.05, "momentum": 0.9, "tolerance": 0.3, "core_steps": 3, **options}
    optimizer = rf.TDLRT(model, torch.optim.SGD, **settings)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
        yield rf.densify(model)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_dense_averages_are_the_averages_of_the_weights(kind):
    model = network()
    how = {"multi_avg_fn": get_ema_multi_avg_fn(DECAY)} if kind == "ema" else {}
    average = AveragedModel(rf.densify(model), **how)
    ranks, seen = set(), []
    for dense in trained(model):
        average.update_parameters(dense)
        ranks.add(model[4].ranks)
        seen.append(weights(dense))
    assert len(ranks) > 3
    wanted = seen[0]
    for count, now in enumerate(seen[1:], 1):
        kept = DECAY if kind == "ema" else count / (count + 1)
        wanted = {name: kept * wanted[name] + (1 - kept) * now[name] for name in now}
    for name, value in weights(average.module).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-12)
    update_bn([INPUTS], average)
    again = average.module
    error = nn.functional.cross_entropy(again(INPUTS), LABELS)
    conversion = rf.factorize(again, rf.Tolerance(0.1), example_inputs=INPUTS)  # and low rank again
    assert any(row.ranks for row in conversion)
    assert nn.functional.cross_entropy(again(INPUTS), LABELS) < error + 0.1


def test_an_average_of_cores_and_bases_is_another_weight():
    """What torch does to a factorised model: an error where ranks change, and silently this where only bases turn."""
    model = network()
    naive = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    naive.update_parameters(model)
    next(steps := trained(model))
    while model[4].ranks == naive.module[4].ranks:
        next(steps)
    with pytest.raises(RuntimeError, match="size of tensor"):
        naive.update_parameters(model)
    model = network()
    naive = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    right = AveragedModel(rf.densify(model), multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    for dense in trained(model, integrator="fixed"):
        naive.update_parameters(model)
        right.update_parameters(dense)
    wanted = right.module[4].weight
    assert (naive.module[4].weight - wanted).norm() > 0.01 * wanted.norm()


def test_with_frozen_bases_cores_may_be_averaged():
    model = network()
    naive = right = None
    for step, dense in enumerate(trained(model, freeze_bases_after=4)):
        if step == 5:
            naive = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
            right = AveragedModel(dense, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
        if naive is not None and right is not None:
            naive.update_parameters(model)
            right.update_parameters(dense)
    assert naive is not None
    torch.testing.assert_close(naive.module[4].weight, right.module[4].weight, rtol=0, atol=1e-12)

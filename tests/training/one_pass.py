"""Exact steps from one gradient and from two, and layers of every kind to compare them on."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, same, snapshot, tdlrt, weights
from tests.training.problems import random_tensor

from rankfold import OptimizerError
from rankfold.convert import factorized_layers
from rankfold.layers import Conv1d, Conv2d, Conv3d, ConvTranspose2d, Linear

DOUBLE = torch.float64


def close(first, second, within=1e-10):
    """Weights, dense parameters and buffers; bases may differ in their signs."""
    assert {n: la.ranks for n, la in factorized_layers(first)} == {
        n: la.ranks for n, la in factorized_layers(second)
    }
    both = [
        {**weights(m), **{n: v for n, v in m.state_dict().items() if "factor" not in n and "core" not in n}}
        for m in (first, second)
    ]
    for name, value in both[0].items():
        torch.testing.assert_close(both[1][name], value, rtol=within, atol=within)


def trained(make, loss, *, closure, steps=3, inner=torch.optim.SGD, **options):
    """A model after some steps; ``loss`` takes the model and the number of the step."""
    torch.manual_seed(0)
    model = make().to(DOUBLE)
    optimizer = tdlrt(model, inner, core_steps=1, **options)

    def evaluate(step):
        optimizer.zero_grad()
        value = loss(model, step)
        value.backward()
        return value

    for step in range(steps):
        torch.manual_seed(step)  # dropout
        if closure:
            optimizer.step(partial(evaluate, step))
        else:
            evaluate(step)
            optimizer.step()
        assert all(record.step == step + 1 for record in optimizer.records.values())
        assert set(optimizer.records) == set(optimizer.layers), "not a whole cycle"
    return model


def agree(make, loss, *, within=1e-10, **options):
    """The step from one backward pass against the closure's, which evaluates two gradients."""
    one = trained(make, loss, closure=False, **options)
    options.pop("accumulate", None)
    close(trained(make, loss, closure=True, **options), one, within)
    for name, layer in factorized_layers(one):
        assert float(layer.tucker.orthonormality_defect()) < 1e-13, name
    return one


def classify(model, step):
    x, y = batch(step, dtype=DOUBLE)
    return F.cross_entropy(model(x), y)


def fit(model, step, inputs):
    output = torch.tanh(model(inputs(step)))
    return 50 * (output - random_tensor(*output.shape, seed=step + 50)).square().mean()


def backward(model, step=0):
    classify(model, step).backward()


def refused(model, optimizer, match):
    before, state = snapshot(model), copy.deepcopy(optimizer.state_dict())
    with pytest.raises(OptimizerError, match=match):
        optimizer.step()
    assert same(before, snapshot(model))
    after = optimizer.state_dict()
    assert after["tdlrt"] == state["tdlrt"]
    for key, entries in state["state"].items():
        assert all(
            torch.equal(torch.as_tensor(after["state"][key][k]), torch.as_tensor(v))
            for k, v in entries.items()
        )


LAYERS = {
    "linear": (lambda: Linear(9, 7, rank=2), (12, 9)),
    "linear-tokens": (lambda: Linear(9, 7, rank=2, bias=False), (2, 6, 9)),
    "linear-2r-over-n": (lambda: Linear(9, 7, rank=5), (12, 9)),
    "linear-one-side-full": (lambda: Linear(12, 5, rank=5), (12, 12)),
    "linear-full": (lambda: Linear(6, 6, rank=6), (12, 6)),
    "linear-many-rows": (lambda: Linear(8, 8, rank=6), (200, 8)),
    "conv1d": (lambda: Conv1d(6, 8, 3, rank=2), (3, 6, 9)),
    "conv1d-all": (lambda: Conv1d(6, 8, 3, rank=2, modes=(0, 1, 2), padding=1), (3, 6, 9)),
    "conv2d": (lambda: Conv2d(6, 8, 3, rank=2), (3, 6, 6, 6)),
    "conv2d-stride": (lambda: Conv2d(6, 8, 3, 2, 1, rank=2, bias=False), (3, 6, 7, 6)),
    "conv2d-dilated": (lambda: Conv2d(6, 8, 3, dilation=2, padding="same", rank=2), (3, 6, 6, 6)),
    "conv2d-even-same": (lambda: Conv2d(6, 8, 4, padding="same", rank=2), (3, 6, 6, 6)),
    "conv2d-1x1": (lambda: Conv2d(6, 8, 1, rank=2), (3, 6, 4, 4)),
    "conv2d-2r-over-n": (lambda: Conv2d(6, 8, 3, rank=(5, 4)), (40, 6, 6, 6)),
    "conv2d-full": (lambda: Conv2d(4, 5, 3, rank=(5, 4)), (3, 4, 6, 6)),
    "conv2d-output": (lambda: Conv2d(6, 8, 3, rank=2, modes=(0,)), (3, 6, 6, 6)),
    "conv2d-input": (lambda: Conv2d(6, 8, 3, rank=2, modes=(1,)), (3, 6, 6, 6)),
    "conv2d-window": (lambda: Conv2d(6, 8, 3, rank=2, modes=(2, 3)), (3, 6, 6, 6)),
    "conv2d-output-and-width": (lambda: Conv2d(6, 8, 3, rank=2, modes=(0, 3)), (3, 6, 6, 6)),
    "conv2d-all": (lambda: Conv2d(6, 8, 3, rank=2, modes=(0, 1, 2, 3)), (3, 6, 6, 6)),
    "conv2d-groups": (lambda: Conv2d(8, 12, 3, groups=2, rank=2), (3, 8, 6, 6)),
    "conv2d-groups-output": (lambda: Conv2d(8, 12, 3, groups=4, rank=2, modes=(0,)), (3, 8, 5, 5)),
    "conv2d-depthwise": (lambda: Conv2d(8, 8, 3, groups=8, rank=1, modes=(2, 3)), (3, 8, 5, 5)),
    "conv3d": (lambda: Conv3d(4, 6, 2, rank=2), (2, 4, 4, 4, 4)),
    "conv3d-all": (lambda: Conv3d(4, 6, 3, rank=2, modes=(0, 1, 2, 3, 4)), (2, 4, 4, 4, 4)),
    "transposed": (lambda: ConvTranspose2d(6, 8, 3, 2, 1, 1, rank=2), (3, 6, 4, 4)),
    "transposed-all": (lambda: ConvTranspose2d(6, 8, 3, rank=2, modes=(0, 1, 2, 3)), (3, 6, 4, 4)),
    "transposed-groups": (lambda: ConvTranspose2d(8, 12, 3, groups=2, rank=2), (3, 8, 4, 4)),
    **{
        f"conv2d-{mode}": (
            lambda mode=mode: Conv2d(6, 8, 3, padding=(1, 2), padding_mode=mode, rank=2),
            (3, 6, 6, 6),
        )
        for mode in ("reflect", "replicate", "circular")
    },
}

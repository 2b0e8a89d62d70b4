"""Exact steps from one backward pass: the same iterates as from two gradients."""

from functools import partial

import pytest
import torch
from tests.training.networks import network, one_step, tdlrt
from tests.training.one_pass import DOUBLE, LAYERS, agree, classify, close, fit
from tests.training.problems import random_tensor
from torch import nn

from rankfold.layers import Conv2d, Embedding, Linear


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("case", LAYERS)
def test_every_layer_makes_the_step_of_two_gradients(case, accumulate):
    make, shape = LAYERS[case]
    agree(
        lambda: nn.Sequential(make()),
        partial(fit, inputs=lambda step: random_tensor(*shape, seed=step)),
        accumulate=accumulate,
    )


@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}, {"scale_grad_by_freq": True}, {"max_norm": 0.5}])
def test_embeddings_make_the_step_of_two_gradients(options):
    def indices(step):
        return torch.randint(0, 20, (12, 5), generator=torch.Generator().manual_seed(step))

    model = agree(lambda: nn.Sequential(Embedding(20, 8, rank=3, **options)), partial(fit, inputs=indices))
    if "padding_idx" in options:
        assert not model[0].weight[3].any()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_memory_formats_and_inputs_with_and_without_gradient(needs_gradient, channels_last, recompute):
    def images(step):
        x = random_tensor(4, 16, 6, 6, seed=step)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        return x.requires_grad_(needs_gradient)

    def make():
        layer = Conv2d(16, 20, 3, padding=1, rank=(5, 7))
        layer.recompute = recompute
        return nn.Sequential(layer)

    agree(make, partial(fit, inputs=images))


INNER = {
    "sgd": (torch.optim.SGD, {"momentum": 0.0}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}),
    "maximize": (torch.optim.SGD, {"maximize": True}),
}


@pytest.mark.parametrize("tolerance", [0.003, 0.2])
@pytest.mark.parametrize("inner", INNER)
def test_networks_with_batch_norm_make_the_step_of_two_gradients(inner, tolerance):
    kind, options = INNER[inner]
    model = agree(
        lambda: network(dtype=DOUBLE),
        classify,
        within=1e-9,
        steps=5,
        inner=kind,
        tolerance=tolerance,
        **options,
    )
    assert int(model[1].num_batches_tracked) == 5


def test_dense_layers_and_dropout_beside_factorised_ones():
    def make():
        model = nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.Dropout(0.4), nn.Linear(8, 6), nn.Tanh())
        model.append(Linear(6, 5, rank=2))
        model[3] = Linear.from_dense(model[3], rank=2)
        return model

    agree(make, partial(fit, inputs=lambda step: random_tensor(20, 9, seed=step)))


def test_frozen_biases_and_later_changes_of_the_output_in_place():
    def make():
        model = network(dtype=DOUBLE)
        model[0].bias.requires_grad_(False)
        model[6].bias.requires_grad_(False)
        model[2] = nn.ReLU(inplace=True)
        model[5] = nn.ReLU(inplace=True)
        return model

    agree(make, classify)


def test_one_backward_pass_is_all_it_takes():
    model = network(dtype=DOUBLE)
    optimizer = tdlrt(model, core_steps=1)
    calls = []
    model[4].register_full_backward_hook(lambda *_: calls.append("backward"))
    for seed in range(3):
        one_step(model, optimizer, seed)
        assert all(record.step == seed + 1 for record in optimizer.records.values())
    assert len(calls) == 3


def test_steps_with_and_without_closure_may_alternate():
    models = []
    for pattern in ((True, True, True, True), (False, True, True, False)):
        model = network(dtype=DOUBLE)
        optimizer = tdlrt(model, core_steps=1)
        for seed, closure in enumerate(pattern):
            one_step(model, optimizer, seed, closure=closure)
        models.append(model)
    close(*models)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(lambda: Conv2d(2, 8, 3, rank=(4, 2)), (4, 2, 6, 6)), (lambda: Linear(3, 8, rank=3), (12, 3))],
)
def test_what_scales_the_gradient_of_a_core_scales_the_new_blocks_too(make, shape, accumulate):
    """Where only the first mode widens, the old block lies at the beginning of the widened gradient."""
    results = []
    for factor in (1.0, 0.25):
        torch.manual_seed(0)
        model = nn.Sequential(make()).double()
        optimizer = tdlrt(
            model, core_steps=1, momentum=0.0, tolerance=0.0, lr=0.01 / factor, accumulate=accumulate
        )
        model(random_tensor(*shape)).square().sum().backward()
        model[0].core.grad.mul_(factor)
        model[0].bias.grad.mul_(factor)
        optimizer.step()
        results.append(model)
    close(*results)

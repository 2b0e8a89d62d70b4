"""Exact steps from one backward pass: the same iterates as from two gradients, or a refusal that changes nothing."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt, weights
from tests.training.problems import random_tensor
from torch import nn
from torch.utils.checkpoint import checkpoint

from rankfold import NonFiniteError, OptimizerError, factorize
from rankfold.convert import factorized_layers
from rankfold.layers import Conv1d, Conv2d, Conv3d, ConvTranspose2d, Embedding, Linear

DOUBLE = torch.float64


def close(first, second, tolerance=1e-10):
    """Weights, dense parameters and buffers; bases may differ in their signs."""
    assert {n: la.ranks for n, la in factorized_layers(first)} == {
        n: la.ranks for n, la in factorized_layers(second)
    }
    both = [
        {**weights(m), **{n: v for n, v in m.state_dict().items() if "factor" not in n and "core" not in n}}
        for m in (first, second)
    ]
    for name, value in both[0].items():
        torch.testing.assert_close(both[1][name], value, rtol=tolerance, atol=tolerance)


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


def agree(make, loss, tolerance=1e-10, **options):
    """The step from one backward pass against the closure's, which evaluates two gradients."""
    one = trained(make, loss, closure=False, **options)
    options.pop("accumulate", None)
    close(trained(make, loss, closure=True, **options), one, tolerance)
    for name, layer in factorized_layers(one):
        assert float(layer.tucker.orthonormality_defect()) < 1e-13, name
    return one


def classify(model, step):
    x, y = batch(step, dtype=DOUBLE)
    return F.cross_entropy(model(x), y)


def fit(model, step, inputs):
    output = torch.tanh(model(inputs(step)))
    return 50 * (output - random_tensor(*output.shape, seed=step + 50)).square().mean()


def backward(model, step=0, scale=1.0):
    (scale * classify(model, step)).backward()


# -- equality with two gradients ---------------------------------------------------------------------------

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
        f"conv2d-{mode}": (lambda mode=mode: Conv2d(6, 8, 3, padding=(1, 2), padding_mode=mode, rank=2), (3, 6, 6, 6))
        for mode in ("reflect", "replicate", "circular")
    },
}


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
        lambda: network(dtype=DOUBLE), classify, 1e-9, steps=5, inner=kind, **options | {"tolerance": tolerance}
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


# -- several passes per step -------------------------------------------------------------------------------


class Twice(nn.Module):
    """One layer used twice in a forward."""

    def __init__(self):
        super().__init__()
        self.layer = Linear(6, 6, rank=2)

    def forward(self, x, second=1.0):
        return x + second * self.layer(torch.tanh(self.layer(x)))


class Tied(nn.Module):
    """Table and output layer share core and factors."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(30, 8), nn.Linear(8, 30, bias=False)
        self.out.weight = self.embed.weight
        factorize(self, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.embed(x)))


@pytest.mark.parametrize("case", ["conv2d", "conv2d-all", "conv2d-window", "transposed-groups", "linear-many-rows"])
def test_parts_of_a_batch_make_the_step_of_the_whole(case):
    make, shape = LAYERS[case]
    whole = agree(
        lambda: nn.Sequential(make()), partial(fit, inputs=lambda step: random_tensor(*shape, seed=step).repeat(2, *[1] * (len(shape) - 1)))
    )
    torch.manual_seed(0)
    model = nn.Sequential(make()).to(DOUBLE)
    optimizer = tdlrt(model, core_steps=1, accumulate=True)
    for step in range(3):
        optimizer.zero_grad()
        x = random_tensor(*shape, seed=step)
        output = torch.tanh(model(x))
        goals = random_tensor(2 * len(output), *output.shape[1:], seed=step + 50).chunk(2)
        (25 * (output - goals[0]).square().mean()).backward()
        (25 * (torch.tanh(model(x)) - goals[1]).square().mean()).backward()
        optimizer.step()
    close(whole, model)


def test_two_losses_of_one_forward():
    def make_loss(parts):
        def loss(model, step):
            output = model(batch(step, dtype=DOUBLE)[0])
            first, second = F.cross_entropy(output, batch(step)[1]), output.square().mean()
            if not parts:
                return first + second
            first.backward(retain_graph=True)
            return second

        return loss

    whole = trained(lambda: network(dtype=DOUBLE), make_loss(False), closure=True)
    close(whole, trained(lambda: network(dtype=DOUBLE), make_loss(True), closure=False, accumulate=True))


def test_a_layer_used_twice():
    agree(Twice, partial(fit, inputs=lambda step: random_tensor(9, 6, seed=step)), accumulate=True)


def test_tied_layers_need_no_flag():
    def loss(model, step):
        x = torch.randint(0, 30, (40,), generator=torch.Generator().manual_seed(step))
        return 5 * F.cross_entropy(model(x), (x + 1) % 30)

    agree(Tied, loss, steps=4)


def refused(model, optimizer, match):
    before, state = snapshot(model), copy.deepcopy(optimizer.state_dict())
    with pytest.raises(OptimizerError, match=match):
        optimizer.step()
    assert same(before, snapshot(model))
    after = optimizer.state_dict()
    assert after["tdlrt"] == state["tdlrt"]
    for key, entries in state["state"].items():
        assert all(torch.equal(torch.as_tensor(after["state"][key][k]), torch.as_tensor(v)) for k, v in entries.items())


def test_gradients_of_several_passes_are_refused_without_the_flag():
    model = network(dtype=DOUBLE)
    optimizer = tdlrt(model, torch.optim.AdamW, core_steps=1)
    one_step(model, optimizer, 0)
    optimizer.zero_grad()
    backward(model, 1)
    backward(model, 2)
    refused(model, optimizer, r"layer '0'.*accumulate=True")
    one_step(model, optimizer, 3)  # and the next step goes on
    assert optimizer.steps_done == 2


def test_a_layer_used_twice_is_refused_without_the_flag():
    torch.manual_seed(0)
    model = Twice()
    optimizer = tdlrt(model, core_steps=1)
    model(torch.randn(9, 6)).square().sum().backward()
    refused(model, optimizer, r"layer 'layer'.*accumulate=True.*closure")


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("share", [1e-3, 0.3])
def test_gradients_beside_those_of_the_layer_are_refused(share, accumulate):
    """As of a penalty on the weights in the loss, of which the layer's own backward knows nothing."""
    model = network(dtype=DOUBLE)
    optimizer = tdlrt(model, core_steps=1, accumulate=accumulate)
    backward(model)
    gradient = model[4].core.grad
    gradient[0, 0] += share * gradient.norm()
    refused(model, optimizer, r"layer '4'")


@pytest.mark.parametrize("whose", ["optimizer", "model"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_a_discarded_backward_is_forgotten(accumulate, whose):
    models = []
    for discards in (False, True):
        model = network(dtype=DOUBLE).eval()
        optimizer = tdlrt(model, core_steps=1, accumulate=accumulate)
        if discards:
            backward(model, 7)
            (optimizer if whose == "optimizer" else model).zero_grad()
        backward(model, 1)
        if discards and accumulate and whose == "model":
            refused(model, optimizer, r"optimiser's own zero_grad\(\)")
            optimizer.zero_grad()
            backward(model, 1)
        optimizer.step()
        models.append(model)
    close(*models)


def test_inputs_overwritten_between_passes_are_never_used_silently():
    """A buffer that every part of a batch is copied into."""
    model = network(dtype=DOUBLE).eval()
    optimizer = tdlrt(model, core_steps=1, accumulate=True)
    buffer = torch.empty_like(batch(0, dtype=DOUBLE)[0])
    whole = network(dtype=DOUBLE).eval()
    other = tdlrt(whole, core_steps=1, accumulate=True)
    for step in range(2):
        x, y = batch(step, dtype=DOUBLE)
        F.cross_entropy(model(buffer.copy_(x)), y).backward()
        F.cross_entropy(whole(x), y).backward()
    try:
        optimizer.step()
    except OptimizerError:
        return
    other.step()
    close(model, whole)


# -- what users do to gradients ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["all", "inner"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_clipping_scales_the_whole_widened_gradient(accumulate, how):
    """The factor comes from the first pass; the oracle takes the second gradient times that factor."""

    def clip(model, optimizer):
        if how == "inner":
            return optimizer.clip_grad_norm_(0.05)
        return nn.utils.clip_grad_norm_(model.parameters(), 0.05)

    models = []
    for closure in (False, True):
        model = network(dtype=DOUBLE)
        optimizer = tdlrt(model, core_steps=1, momentum=0.0, lr=2.0, accumulate=accumulate)
        for step in range(3):
            factors = []

            def evaluate(step=step, factors=factors, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = classify(model, step)
                loss.backward()
                if not factors:
                    factors.append(min(1.0, 0.05 / (float(clip(model, optimizer)) + 1e-6)))
                    return loss
                for parameter in model.parameters():
                    parameter.grad *= factors[0]
                return loss

            if closure:
                optimizer.step(evaluate)
                assert factors[0] < 0.5
            else:
                optimizer.zero_grad()
                backward(model, step)
                clip(model, optimizer)
                optimizer.step()
        models.append(model)
    close(*models)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 1e-8, 1e8])
def test_gradients_may_be_multiplied_by_any_number(scale):
    models = []
    for closure in (False, True):
        model = network(dtype=DOUBLE)
        optimizer = tdlrt(model, core_steps=1, momentum=0.0, lr=1e-9 if scale == 1e8 else 0.1)

        def evaluate(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            backward(model)
            for parameter in model.parameters():
                parameter.grad *= scale

        if closure:
            optimizer.step(evaluate)
        else:
            evaluate()
            optimizer.step()
        models.append(model)
    close(*models)


@pytest.mark.parametrize("size", [1e-25, 1e23])
def test_the_size_of_gradients_does_not_matter(size):
    """Squares of float32 numbers of this size under- and overflow."""
    found = []
    for factor in (1.0, size):
        model = network()
        optimizer = tdlrt(model, core_steps=1, momentum=0.0, lr=0.1 / factor)
        backward(model.double(), 0, 1.0) if False else (factor * F.cross_entropy(model(batch(0)[0]), batch(0)[1])).backward()
        for parameter in model.parameters():
            parameter.grad *= 0.5
        optimizer.step()
        found.append(weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5)


def test_a_gradient_scaler_changes_nothing_and_skips_overflows():
    models = []
    for scaled in (False, True):
        model = network()
        optimizer = tdlrt(model, core_steps=1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scaled)
        for step in range(4):
            if scaled and step == 2:
                before = {n: v for n, v in snapshot(model).items() if not n.startswith("1.")}
                x, y = batch(9)
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model.eval()(x), y) * 1e38).backward()
                scaler.step(optimizer)
                scaler.update()
                model.train()
                assert all(torch.equal(snapshot(model)[name], value) for name, value in before.items())
                assert optimizer.steps_done == 2
                assert scaler.get_scale() == 2.0**9
            x, y = batch(step)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        models.append(model)
    close(*models, tolerance=1e-4)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_leaves_everything_as_it_was(value, accumulate):
    model = network()
    optimizer = tdlrt(model, torch.optim.AdamW, core_steps=1, accumulate=accumulate)
    one_step(model, optimizer, 0)
    model.eval()
    before, state = snapshot(model), copy.deepcopy(optimizer.state_dict()["state"])
    x, y = batch(1)
    optimizer.zero_grad()
    (F.cross_entropy(model(x), y) * value).backward()
    with pytest.raises(NonFiniteError, match="step 2"):
        optimizer.step()
    assert same(before, snapshot(model))
    for key, entries in state.items():
        assert all(torch.equal(optimizer.state_dict()["state"][key][k], v) for k, v in entries.items())
    one_step(model, optimizer, 1)
    assert optimizer.steps_done == 2
    assert all(record.step == 2 for record in optimizer.records.values())


@pytest.mark.parametrize("accumulate", [False, True])
def test_autocast_trains_and_bases_stay_orthonormal(accumulate):
    model = network()
    optimizer = tdlrt(model, core_steps=1, accumulate=accumulate)
    losses = []
    for _ in range(12):
        x, y = batch(0)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert optimizer.steps_done == 12
    assert losses[-1] < 0.9 * losses[0]
    for name, layer in factorized_layers(model):
        assert float(layer.tucker.orthonormality_defect()) < 1e-5, name
        assert layer.core.dtype == torch.float32
        assert optimizer.records[name].step == 12


def test_models_of_half_precision_train():
    model = network().to(torch.bfloat16)
    optimizer = tdlrt(model, core_steps=1)
    for seed in range(4):
        one_step(model, optimizer, seed)
    assert all(record.step == 4 for record in optimizer.records.values())
    assert all(float(la.tucker.orthonormality_defect()) < 0.05 for _, la in factorized_layers(model))


# -- other tools of torch ----------------------------------------------------------------------------------


def test_compiled_layers_take_two_calls():
    models, calls = [], []
    for compiled in (False, True):
        model = network(dtype=DOUBLE).eval()
        optimizer = tdlrt(model, core_steps=1)
        run = torch.compile(model, backend="eager") if compiled else model
        for step in range(6 if compiled else 3):
            optimizer.zero_grad()
            F.cross_entropy(run(batch(0, dtype=DOUBLE)[0]), batch(0)[1]).backward()
            optimizer.step()
            calls.append({record.step for record in optimizer.records.values()})
        models.append(model)
    assert calls == [{1}, {2}, {3}, set(), {2}, {2}, {4}, {4}, {6}]
    assert all(layer.weight.isfinite().all() for _, layer in factorized_layers(models[1]))


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
    value, tangent = torch.func.jvp(model, (x,), (torch.ones_like(x),))
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
    backward(model.float().eval(), 1) if False else F.cross_entropy(model(batch(1)[0]), batch(1)[1]).backward()
    twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert all(layer.one_pass is None for _, layer in factorized_layers(twin))
    before = snapshot(model)
    plain = torch.optim.SGD(twin.parameters(), lr=0.1)
    halfway = snapshot(twin)
    one_step(twin, plain, 2)
    assert same(before, snapshot(model))
    assert all(not torch.equal(value, halfway[name]) for name, value in twin.state_dict().items() if "factor" in name)
    optimizer.step()  # the gradients of the original are still its own
    assert {record.step for record in optimizer.records.values()} == {2}


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies_of_model_and_optimiser_go_on_alike(way):
    both = (network(), None)
    both = (both[0], tdlrt(both[0], torch.optim.AdamW, core_steps=1))
    for seed in range(3):
        one_step(*both, seed)
    twins = copy.deepcopy(both) if way == "deepcopy" else pickle.loads(pickle.dumps(both))
    for seed in range(3, 6):
        one_step(*both, seed)
        one_step(*twins, seed)
    assert same(snapshot(both[0]), snapshot(twins[0]))


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
    assert all(torch.equal(v, before[n]) == ("factor" in n or "ranks" in n) for n, v in model.state_dict().items())
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

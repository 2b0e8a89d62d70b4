"""Gradients of several passes, and changed ones: the exact step, or a refusal that changes nothing."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt, weights
from tests.training.one_pass import DOUBLE, LAYERS, agree, backward, classify, close, fit, refused, trained
from tests.training.problems import random_tensor
from torch import nn

from rankfold import NonFiniteError, OptimizerError, factorize
from rankfold.convert import factorized_layers
from rankfold.layers import Conv2d, Linear


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


@pytest.mark.parametrize(
    "case", ["conv2d", "conv2d-all", "conv2d-window", "transposed-groups", "linear-many-rows"]
)
def test_parts_of_a_batch_make_the_step_of_the_whole(case):
    make, shape = LAYERS[case]
    whole = agree(
        lambda: nn.Sequential(make()),
        partial(fit, inputs=lambda step: random_tensor(*shape, seed=step).repeat(2, *[1] * (len(shape) - 1))),
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
@pytest.mark.parametrize(
    "share",
    [
        pytest.param(1e-3),
        0.3,
    ],
)
def test_gradients_beside_those_of_the_layer_are_refused(share, accumulate):
    """As of a penalty on the weights in the loss, of which the layer's own backward knows nothing."""
    model = network(dtype=DOUBLE)
    optimizer = tdlrt(model, core_steps=1, accumulate=accumulate)
    backward(model)
    gradient = model[4].core.grad
    gradient[0, 0] += share * gradient.norm()
    refused(model, optimizer, r"layer '4'")


@pytest.mark.parametrize(
    "modes",
    [
        (0, 1),
        pytest.param((0, 1, 2, 3)),
        pytest.param((2, 3)),
    ],
)
def test_a_refused_step_leaves_nothing_behind(modes):
    """Not even directions of the refused gradient."""

    def inputs(step):
        return random_tensor(3, 6, 8, 8, seed=step)

    models = []
    for refuses in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(Conv2d(6, 8, 7, rank=2, modes=modes)).to(DOUBLE)
        optimizer = tdlrt(model, core_steps=1)
        if refuses:
            for step in (7, 8):
                fit(model, step, inputs).backward()
            refused(model, optimizer, "accumulate=True")
            model.zero_grad()
        fit(model, 0, inputs).backward()
        optimizer.step()
        models.append(model)
    close(*models)


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


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(1e-25),
        pytest.param(1e23),
    ],
)
def test_the_size_of_gradients_does_not_matter(size):
    """Squares of float32 numbers of this size under- and overflow."""
    found = []
    for factor in (1.0, size):
        model = network()
        optimizer = tdlrt(model, core_steps=1, momentum=0.0, lr=0.1 / factor)
        (factor * F.cross_entropy(model(batch(0)[0]), batch(0)[1])).backward()
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
    close(*models, within=1e-4)


@pytest.mark.parametrize(
    "accumulate",
    [
        pytest.param(False),
        True,
    ],
)
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


def test_after_a_step_that_was_not_made_the_gradients_of_the_model_may_be_cleared():
    model = network().eval()
    optimizer = tdlrt(model, core_steps=1, accumulate=True)
    (F.cross_entropy(model(batch(0)[0]), batch(0)[1]) * float("nan")).backward()
    with pytest.raises(NonFiniteError):
        optimizer.step()
    model.zero_grad()
    F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
    optimizer.step()


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


def test_a_step_inside_autocast_is_made_in_full_precision():
    model = network()
    optimizer = tdlrt(model, core_steps=1)
    for seed in range(3):
        x, y = batch(seed)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            F.cross_entropy(model(x).float(), y).backward()
            optimizer.step()
    assert all(float(la.tucker.orthonormality_defect()) < 1e-5 for _, la in factorized_layers(model))


def test_gradients_at_shifted_weights_take_two_calls():
    """As of sharpness-aware minimisation: the second backward runs at other factors than the step changes."""
    model = network(dtype=DOUBLE)
    optimizer = tdlrt(model, core_steps=1)
    backward(model)
    shifts = {parameter: 0.1 * parameter.grad for parameter in model.parameters()}
    optimizer.zero_grad()
    with torch.no_grad():
        for parameter, shift in shifts.items():
            parameter.add_(shift)
    backward(model)
    with torch.no_grad():
        for parameter, shift in shifts.items():
            parameter.sub_(shift)
    optimizer.step()
    assert not optimizer.records  # what was collected belongs to other factors: a basis step alone
    backward(model)
    optimizer.step()
    assert max(record.orthonormality_defect for record in optimizer.records.values()) < 1e-12


def test_models_of_half_precision_train():
    model = network().to(torch.bfloat16)
    optimizer = tdlrt(model, core_steps=1)
    for seed in range(4):
        one_step(model, optimizer, seed)
    assert all(record.step == 4 for record in optimizer.records.values())
    assert all(float(la.tucker.orthonormality_defect()) < 0.05 for _, la in factorized_layers(model))

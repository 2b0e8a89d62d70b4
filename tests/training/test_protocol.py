"""TDLRT is a torch.optim.Optimizer in everything a training script does with one."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt, weights
from torch import nn

from rankfold import TDLRT, OptimizerError, OptionError, factorize
from rankfold.convert import factorized_layers
from rankfold.training import INTEGRATORS

INNER = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW]


@pytest.mark.parametrize("core_steps", [1, 3])
@pytest.mark.parametrize("integrator", sorted(INTEGRATORS))
@pytest.mark.parametrize("inner", INNER)
def test_every_combination_trains_and_keeps_the_invariants(inner, integrator, core_steps):
    model = network()
    optimizer = tdlrt(model, inner, integrator=integrator, core_steps=core_steps)
    x, y = batch(0)
    losses = []
    for _ in range(48):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    optimizer.truncate()
    assert min(losses[-8:]) < 0.8 * losses[0]
    for name, layer in factorized_layers(model):
        assert float(layer.tucker.orthonormality_defect()) <= 1e-5, name
        norm = float(layer.core.detach().norm())
        assert float(layer.weight.detach().norm()) == pytest.approx(norm, rel=1e-5)
        state = optimizer.state[layer.core]
        assert all(v.shape in ((), layer.core.shape) for v in state.values() if isinstance(v, torch.Tensor))


@pytest.mark.parametrize("closure", [False, True])
def test_closure_is_evaluated_once_or_for_a_whole_cycle_twice(closure):
    model = network()
    optimizer = tdlrt(model, core_steps=1 if closure else 2)
    x, y = batch(0)
    calls = []

    def evaluate():
        calls.append(1)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    first = float(F.cross_entropy(model(x), y).detach())
    assert float(optimizer.step(evaluate).detach()) == pytest.approx(first, rel=1e-5)
    assert len(calls) == (2 if closure else 1)
    assert bool(optimizer.records) == closure


def test_bases_are_not_in_the_inner_optimiser_and_everything_else_is():
    model = network()
    optimizer = tdlrt(model)
    inner = {id(p) for group in optimizer.inner.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in inner) == ("factor" not in name)
    everything = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert everything == {id(parameter) for parameter in model.parameters()}


def test_zero_grad_clears_bases_too():
    model = network()
    optimizer = tdlrt(model)
    F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    ],
    ids=["step", "cosine", "onecycle", "lambda"],
)
def test_schedulers_move_the_inner_learning_rate(make):
    model = network()
    optimizer = tdlrt(model)
    scheduler = make(optimizer)
    rates = []
    for seed in range(5):
        one_step(model, optimizer, seed)
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.inner.param_groups[0]["lr"] == rates[-1]
        assert optimizer.param_groups[-1]["lr"] == rates[-1]
    assert len(set(rates)) == 5


def test_reduce_on_plateau():
    model = network()
    optimizer = tdlrt(model)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for value in (1.0, 1.0, 1.0):
        one_step(model, optimizer, 0)
        scheduler.step(value)
    assert optimizer.inner.param_groups[0]["lr"] < 0.05


@pytest.mark.parametrize("integrator", sorted(INTEGRATORS))
def test_grad_scaler_gives_the_unscaled_training(integrator):
    results = []
    for scaled in (False, True):
        model = network()
        optimizer = tdlrt(model, integrator=integrator)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scaled)
        for seed in range(6):
            x, y = batch(seed)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append(snapshot(model))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-4, atol=1e-5)


def test_grad_scaler_skips_a_step_with_infinite_gradients():
    model = network()
    optimizer = tdlrt(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    x, y = batch(0)
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    model[4].factors[0].grad[0, 0] = float("inf")
    before = snapshot(model)
    scaler.step(optimizer)
    scaler.update()
    assert same(before, snapshot(model))
    assert scaler.get_scale() < 2.0**10


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("stop", [4, 6], ids=["between-cycles", "in-a-cycle"])
@pytest.mark.parametrize("model_first", [False, True], ids=["optimiser-first", "model-first"])
def test_state_dicts_resume_bit_for_bit_at_changed_ranks(inner, stop, model_first):
    model = network(rank=2)
    optimizer = tdlrt(model, inner)
    for seed in range(stop):
        one_step(model, optimizer, seed)
    saved = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    for seed in range(stop, 12):
        one_step(model, optimizer, seed)

    saved.seek(0)
    states = torch.load(saved, weights_only=True)
    resumed = network(seed=1, rank=3)
    if model_first:  # as trainers do
        resumed.load_state_dict(states["model"])
    again = tdlrt(resumed, inner)
    if not model_first:
        resumed.load_state_dict(states["model"])
    again.load_state_dict(states["optimizer"])
    for seed in range(stop, 12):
        one_step(resumed, again, seed)
    assert same(snapshot(model), snapshot(resumed))
    assert again.steps_done == 12


def test_a_fresh_state_loaded_at_once_leaves_the_form_that_was_made():
    """Accelerate does so, and loads the state of the run it takes up later."""
    model = network(rank=2)
    optimizer = tdlrt(model)
    for seed in range(6):
        one_step(model, optimizer, seed)
    resumed = copy.deepcopy(model)
    again = tdlrt(resumed)
    brought = snapshot(resumed)
    again.load_state_dict(again.state_dict())
    assert same(brought, snapshot(resumed))
    again.load_state_dict(optimizer.state_dict())
    assert same(snapshot(model), snapshot(resumed))


def test_weights_loaded_after_the_optimiser_was_made_are_not_undone_by_its_state():
    model = network(rank=2)
    optimizer = tdlrt(model)
    for seed in range(6):
        one_step(model, optimizer, seed)
    wanted = snapshot(model)
    again = tdlrt(resumed := copy.deepcopy(model))  # in the middle of a cycle, so that it turns the bases
    assert not same(wanted, snapshot(resumed))
    resumed.load_state_dict(model.state_dict())
    with torch.no_grad():
        resumed[0].bias.add_(1)
        resumed[0].core.mul_(2)
    wanted = snapshot(resumed)
    again.load_state_dict(optimizer.state_dict())
    assert same(wanted, snapshot(resumed))


def test_a_model_loaded_before_the_optimiser_is_made_resumes_bit_for_bit_too():
    model = network(rank=2)
    optimizer = tdlrt(model)
    for seed in range(8):
        one_step(model, optimizer, seed)
    resumed = network(seed=1)
    resumed.load_state_dict(model.state_dict())
    tdlrt(resumed)
    assert same(snapshot(model), snapshot(resumed))


def test_loading_before_the_model_is_refused_and_changes_nothing():
    model = network(rank=2)
    optimizer = tdlrt(model)
    for seed in range(4):
        one_step(model, optimizer, seed)
    other = tdlrt(network(rank=3))
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(OptimizerError, match="load the model's state before"):
        other.load_state_dict(optimizer.state_dict())
    assert other.state_dict()["tdlrt"] == before["tdlrt"]
    with pytest.raises(OptimizerError, match="not one of TDLRT"):
        other.load_state_dict(torch.optim.SGD(network().parameters(), lr=1).state_dict())


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("stop", [4, 6])
def test_copies_of_model_and_optimiser_go_on_alike(way, stop):
    model = network()
    optimizer = tdlrt(model, torch.optim.AdamW)
    torch.optim.lr_scheduler.StepLR(optimizer, 100)
    for seed in range(stop):
        one_step(model, optimizer, seed)
    both = (model, optimizer)
    twin, twin_optimizer = copy.deepcopy(both) if way == "deepcopy" else pickle.loads(pickle.dumps(both))
    for seed in range(stop, 12):
        one_step(model, optimizer, seed)
    halfway = snapshot(twin)
    for seed in range(stop, 12):
        one_step(twin, twin_optimizer, seed)
    assert not same(halfway, snapshot(twin))
    assert same(snapshot(model), snapshot(twin))


def test_gradient_accumulation_equals_the_large_batch():
    results = []
    for parts in (1, 4):
        model = network(dtype=torch.float64).eval()  # batch norm would see other batches
        optimizer = tdlrt(model)
        for seed in range(8):
            x, y = batch(seed, dtype=torch.float64)
            optimizer.zero_grad()
            for xs, ys in zip(x.chunk(parts), y.chunk(parts), strict=True):
                (F.cross_entropy(model(xs), ys) / parts).backward()
            optimizer.step()
        results.append({name: layer.weight.detach() for name, layer in factorized_layers(model)})
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-8, atol=1e-10)


def test_losses_kept_alive_do_not_stand_in_the_way_of_rank_changes():
    model = network()
    optimizer = tdlrt(model)
    losses = []
    for seed in range(9):
        x, y = batch(seed)
        losses.append(F.cross_entropy(model(x), y))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert len(losses) == 9


def test_parameters_keep_their_identity_while_ranks_change():
    model = network()
    optimizer = tdlrt(model, tolerance=0.3)
    before = dict(model.named_parameters())
    ranks = model[4].ranks
    for seed in range(8):
        one_step(model, optimizer, seed)
    assert model[4].ranks != ranks
    assert all(before[name] is parameter for name, parameter in model.named_parameters())


def test_hooks_of_the_optimiser_run():
    model = network()
    optimizer = tdlrt(model)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    one_step(model, optimizer, 0)
    assert calls == ["before", "after"]


def test_param_groups_as_torch_takes_them():
    model = network()
    decayed = [p for n, p in model.named_parameters() if n.endswith("core")]
    rest = [p for n, p in model.named_parameters() if "core" not in n]  # bases among them are left out
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "lr": 0.01}]
    optimizer = TDLRT(model, torch.optim.SGD, lr=0.05, param_groups=groups)
    assert [group["lr"] for group in optimizer.inner.param_groups] == [0.05, 0.01]
    assert len(optimizer.inner.param_groups[1]["params"]) == len(rest) - 6
    for seed in range(12):
        one_step(model, optimizer, seed)
    with pytest.raises(OptimizerError, match="param_groups lack the core of '0'"):
        TDLRT(model, torch.optim.SGD, lr=0.05, param_groups=[{"params": rest}])


def test_dense_parameters_can_be_added_later():
    model = network()
    optimizer = tdlrt(model)
    head = nn.Linear(5, 2)
    optimizer.add_param_group({"params": head.parameters(), "lr": 1.0})
    before = head.weight.detach().clone()
    for _ in range(5):
        optimizer.zero_grad()
        head(model(batch(0)[0])).square().mean().backward()
        optimizer.step()
    assert not torch.equal(head.weight, before)
    assert len(optimizer.param_groups) == 3
    again = tdlrt(model)
    again.add_param_group({"params": head.parameters(), "lr": 1.0})
    again.load_state_dict(optimizer.state_dict())
    assert again.inner.param_groups[1]["lr"] == 1.0


def test_frozen_layers_stay_as_they_are():
    model = network()
    model[4].requires_grad_(False)
    before = snapshot(model[4])
    optimizer = tdlrt(model)
    assert set(optimizer.layers) == {"0", "6"}
    for seed in range(8):
        one_step(model, optimizer, seed)
    assert same(before, snapshot(model[4]))


def test_tied_layers_are_trained_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(30, 8), nn.Linear(8, 30, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, x):
            return self.out(self.embed(x))

    torch.manual_seed(0)
    model = Tied()
    factorize(model, 3)
    optimizer = tdlrt(model, tolerance=0.01)
    assert list(optimizer.layers) == ["embed"]
    x = torch.randint(0, 30, (64,))
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), (x + 1) % 30)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert model.out.core is model.embed.core
    assert losses[-1] < losses[0]


def test_models_without_factorised_layers_are_refused():
    with pytest.raises(OptimizerError, match=r"no factorised layer.*rankfold\.factorize"):
        TDLRT(nn.Linear(3, 3), torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tolerance", 1.0),
        ("tolerance", -0.1),
        ("tolerance", float("nan")),
        ("core_steps", 0),
        ("core_steps", 1.5),
        ("min_rank", 0),
        ("tolerance_warmup", -1),
        ("freeze_bases_after", -1),
        ("max_rank", 0),
        ("max_rank", 1.5),
        ("integrator", "euler"),
    ],
)
def test_bad_options_are_refused(name, value):
    with pytest.raises(OptionError):
        TDLRT(network(), torch.optim.SGD, lr=0.1, **{name: value})


def test_inner_arguments_are_checked_by_the_inner_optimiser():
    with pytest.raises(TypeError, match="lrr"):
        TDLRT(network(), torch.optim.SGD, lrr=0.1)


@pytest.mark.parametrize("integrator", sorted(INTEGRATORS))
def test_maximising_the_negative_loss_is_minimising_the_loss(integrator):
    results = []
    for sign in (1, -1):
        model = network()
        optimizer = tdlrt(model, integrator=integrator, maximize=sign < 0)
        for seed in range(8):
            x, y = batch(seed)
            optimizer.zero_grad()
            (sign * F.cross_entropy(model(x), y)).backward()
            optimizer.step()
        results.append(weights(model))  # bases may differ in their signs
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-4, atol=1e-4)


def test_the_fixed_integrator_steps_with_the_rate_of_the_group_of_the_core():
    results = []
    for options in ({"lr": 0.2}, {"param_groups": "own"}):
        model = network()
        if "param_groups" in options:
            options = {"param_groups": [{"params": model.named_parameters(), "lr": 0.2}]}
        optimizer = TDLRT(model, torch.optim.SGD, integrator="fixed", core_steps=1, **options)
        for seed in range(4):
            one_step(model, optimizer, seed)
        results.append(snapshot(model))
    assert same(*results)


def test_bases_cannot_be_added_to_the_inner_optimiser():
    model = network()
    with pytest.raises(OptimizerError, match="got a basis"):
        tdlrt(model).add_param_group({"params": [model[4].factors[0]]})


def test_bases_of_a_layer_with_a_frozen_core_are_not_trained():
    model = network()
    model[4].core.requires_grad_(False)
    before = snapshot(model[4])
    optimizer = tdlrt(model)
    for seed in range(8):
        one_step(model, optimizer, seed)
    after = snapshot(model[4])
    assert all(torch.equal(after[name], value) for name, value in before.items() if name != "bias")


def test_a_model_rolled_back_without_its_optimiser_is_noticed():
    model = network(rank=2)
    optimizer = tdlrt(model)
    best = copy.deepcopy(model.state_dict())
    for seed in range(5):
        one_step(model, optimizer, seed)
    model.load_state_dict(best)
    with pytest.raises(OptimizerError, match="load the optimiser's of the same time"):
        one_step(model, optimizer, 5)


def test_truncating_in_inference_mode_does_not_end_training():
    model = network()
    optimizer = tdlrt(model)
    for seed in range(6):
        one_step(model, optimizer, seed)
    with torch.inference_mode():
        optimizer.truncate()
    one_step(model, optimizer, 6)


@pytest.mark.parametrize("inner", ["sgd", torch.optim.SGD([torch.zeros(1)], lr=1), nn.Linear])
def test_the_inner_optimiser_must_be_a_class_of_optimisers(inner):
    with pytest.raises(OptimizerError, match="must be a class of optimisers"):
        TDLRT(network(), inner, lr=0.1)

"""What holds for adapters of every kind."""

import copy
import pickle

import pytest
import torch
from tests.adapters.networks import KINDS, convolutions, disturb, network, one_step
from torch import nn

from rankfold import NonFiniteError, OptionError, SelectorError, adapters

EPS = torch.finfo(torch.float64).eps


@pytest.fixture(params=sorted(KINDS))
def adapter(request):
    return KINDS[request.param]


@pytest.fixture
def x():
    return torch.randn(6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_the_list_of_kinds_is_whole():
    assert {kind.name for kind in KINDS.values()} == set(adapters.ADAPTERS)
    assert all(kind.summary for kind in adapters.ADAPTERS.values())


def test_nothing_changes_at_first(adapter, x):
    model = network(torch.float64)
    before = model(x)
    attachment = adapters.attach(model, adapter)
    assert len(attachment.attached) >= 3
    torch.testing.assert_close(model(x), before, rtol=100 * EPS, atol=100 * EPS)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == attachment.trainable == sum(row.trainable for row in attachment)
    assert attachment.frozen == sum(p.numel() for p in network().parameters())


def test_one_step_moves_every_weight_and_no_frozen_one(adapter, x):
    """The trap: a released adapter that no optimiser knew of."""
    model = network(torch.float64)
    frozen = [module.weight.clone() for module in model if isinstance(module, nn.Linear)]
    adapters.attach(model, adapter)
    one_step(model, x)
    found = dict(adapters.adapted_layers(model))
    for name, adapted in found.items():
        base = frozen[int(name) // 2]
        assert torch.equal(adapted.base.weight, base)
        assert (adapted.weight - base).norm() > 1e-6 * base.norm()


def test_it_runs_as_its_weight_says(adapter, x):
    model = network(torch.float64)
    adapters.attach(model, adapter)
    disturb(model)
    for module in model:
        if isinstance(module, adapters.AdaptedLayer):
            expected = nn.functional.linear(x, module.weight, module.bias)
            torch.testing.assert_close(module(x), expected, rtol=1e3 * EPS, atol=1e3 * EPS)


def test_merged_and_unmerged(adapter, x):
    model = network(torch.float64)
    frozen = model[2].weight.clone()
    adapters.attach(model, adapter)
    disturb(model)
    out = model(x)
    assert adapters.merge(adapters.merge(model))[2].merged
    torch.testing.assert_close(model(x), out, rtol=1e3 * EPS, atol=1e3 * EPS)
    with pytest.raises(OptionError, match="unmerge"):
        model.state_dict()
    adapters.unmerge(model)
    assert torch.equal(model[2].base.weight, frozen)
    assert torch.equal(model(x), out)


@pytest.mark.parametrize("merge", [True, False])
def test_detached(adapter, x, merge):
    model = network(torch.float64)
    before = model(x)
    adapters.attach(model, adapter)
    disturb(model)
    after = model(x)
    adapters.merge(model)
    plain = adapters.detach(model, merge=merge)
    assert [type(module) for module in plain] == [type(module) for module in network()]
    if merge:
        torch.testing.assert_close(plain(x), after, rtol=1e3 * EPS, atol=1e3 * EPS)
    else:
        assert torch.equal(plain(x), before)


def test_copies_are_of_their_own(adapter, x):
    model = network(torch.float64)
    adapters.attach(model, adapter)
    disturb(model)
    out = model(x).detach()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), out)
        disturb(twin)
        assert torch.equal(model(x), out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_learns_in_single(adapter, dtype):
    model = network().to(dtype)
    adapters.attach(model, adapter)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    x = torch.randn(4, 12).to(dtype)
    out = model(x)
    assert out.dtype == dtype
    out.float().sum().backward()
    adapters.merge(model)
    torch.testing.assert_close(model(x), out, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", ["low_rank", "rotations", "reflections"])
def test_other_layers(name):
    model = convolutions()
    x = torch.randint(0, 7, (2, 5))
    before = model(x)
    attachment = adapters.attach(model, adapters.Rotations(2) if name == "rotations" else KINDS[name])
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)
    disturb(model)
    out = model(x)
    assert (out - before).abs().max() > 1e-3
    adapters.merge(model)
    torch.testing.assert_close(model(x), out, rtol=1e-4, atol=1e-5)
    skipped = {row.kind for row in attachment.skipped}
    assert skipped == (set() if name == "low_rank" else {"Embedding"})


def test_hooks_come_and_go(adapter, x):
    model, calls = network(torch.float64), []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    adapters.attach(model, adapter)
    model(x)
    adapters.detach(model)
    model(x)
    assert len(calls) == 2


def test_what_stays_trainable(adapter):
    model = network()
    attachment = adapters.attach(model, adapter, include="[024]", also_train="6")
    assert model[6].weight.requires_grad
    assert not model[0].base.weight.requires_grad
    assert attachment.trainable == sum(row.trainable for row in attachment) + 65


def test_shared_weights_are_left_alone():
    model = network()
    model[2].weight = model[0].weight
    attachment = adapters.attach(model, 2)
    assert [row.reason for row in attachment][:2] == ["shares its weight with 2", "shares its weight with 0"]


def test_a_module_used_twice_gets_one_adapter(x):
    model = network(torch.float64)
    model[2] = model[0]
    adapters.attach(model, 2)
    assert model[0] is model[2]
    adapters.detach(model)
    assert model[0] is model[2]
    assert type(model[0]) is nn.Linear


def test_refusals():
    model = network()
    with pytest.raises(OptionError, match="no adapter"):
        adapters.merge(model)
    with pytest.raises(SelectorError, match="include"):
        adapters.attach(model, 2, include="nothing")
    with pytest.raises(OptionError, match="no layer can have"):
        adapters.attach(model, adapters.Rotations(7))
    with pytest.raises(OptionError, match="no layer can have"):
        adapters.attach(model, adapters.StackedCUR(2), include="6")
    for wrong in (
        lambda: adapters.Reflections(3),
        lambda: adapters.Rotations(1),
        lambda: adapters.StackedCUR(0),
        lambda: adapters.StackedCUR(2, "walsh"),
        lambda: adapters.attach(model, 0),
        lambda: adapters.attach(model, adapters.LowRank(-1)),
    ):
        with pytest.raises(OptionError):
            wrong()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(type(module).__module__.startswith("torch.") for module in model)
    adapters.attach(model, 2)
    with pytest.raises(OptionError, match="has adapters already"):
        adapters.attach(model, 2)
    with torch.no_grad():
        model[0].change.layer.core[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="'0'"):
        adapters.merge(model)
    assert not model[2].merged
    bad = network()
    with torch.no_grad():
        bad[2].weight[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match="'2'"):
        adapters.attach(bad, 2)


def test_attributes_are_those_of_the_layer():
    model = network()
    adapters.attach(model, 2)
    assert (model[0].in_features, model[0].bias is model[0].base.bias) == (12, True)
    with pytest.raises(AttributeError):
        model[0].no_such_thing

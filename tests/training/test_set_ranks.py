"""Ranks of a live model: what the function does, what may be asked for, and what is refused."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.convert.models import LanguageModel
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt, weights
from tests.training.problems import random_tensor
from torch import nn

from rankfold import (
    Fixed,
    Latency,
    NonFiniteError,
    OptimizerError,
    OptionError,
    RankError,
    RankfoldError,
    SelectorError,
    factorize,
    set_ranks,
)
from rankfold.layers import Conv2d, Embedding, Linear
from rankfold.linalg import orthonormality_defect, unfold

F64 = torch.float64


def linear(rank: int | tuple[int, int] = 4, seed: int = 0) -> Linear:
    return Linear(9, 7, rank=rank, dtype=F64, generator=torch.Generator().manual_seed(seed))  # weight 7 x 9


def test_wider_is_the_same_function_with_the_old_parts_bit_for_bit() -> None:
    model = nn.Sequential(linear((3, 4)))
    layer = model[0]
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    parameters = dict(layer.named_parameters())
    inputs = random_tensor(5, 9)
    outputs = model(inputs)
    records = set_ranks(model, (6, 7))
    assert layer.ranks == (6, 7)
    assert torch.equal(layer.core[:3, :4], before["core"])
    assert not layer.core[3:].any()
    assert not layer.core[:, 4:].any()
    for mode, old in ((0, 3), (1, 4)):
        assert torch.equal(layer.factors[mode][:, :old], before[f"factor_{mode}"])
        assert float(orthonormality_defect(layer.factors[mode].detach())) < 1e-14
    torch.testing.assert_close(model(inputs), outputs, rtol=1e-13, atol=1e-14)
    assert all(parameters[name] is value for name, value in layer.named_parameters())
    assert (records["0"].ranks_before, records["0"].ranks) == ((3, 4), (6, 7))
    assert records["0"].truncation_error == 0


@pytest.mark.parametrize("orthonormal", [True, False])
def test_narrower_is_the_best_matrix_of_that_rank(orthonormal: bool) -> None:
    model = nn.Sequential(linear(5))
    if not orthonormal:
        with torch.no_grad():
            for seed, parameter in enumerate(model[0].parameters()):
                parameter.copy_(random_tensor(*parameter.shape, seed=seed))
    dense = model[0].weight.detach()
    left, values, right = torch.linalg.svd(dense)
    records = set_ranks(model, 2)
    best = left[:, :2] @ torch.diag(values[:2]) @ right[:2]
    torch.testing.assert_close(model[0].weight.detach(), best, rtol=1e-12, atol=1e-13)
    assert records["0"].truncation_error == pytest.approx(float(values[2:].norm() / values.norm()), rel=1e-10)
    assert records["0"].orthonormality_defect < 1e-13


ranks = st.tuples(st.integers(1, 6), st.integers(1, 5))


@settings(max_examples=40)
@given(first=ranks, second=ranks, modes=st.sampled_from([(0,), (1,), (0, 1), (0, 1, 2, 3)]))
def test_any_ranks_in_range_are_what_one_gets_within_the_error_of_the_cut(first, second, modes) -> None:
    bounds = {0: 6, 1: 5, 2: 3, 3: 2}
    asked = [tuple((*pair, 2, 1)[mode] for mode in modes) for pair in (first, second)]
    model = nn.Sequential(
        Conv2d(5, 6, (3, 2), rank=[bounds[mode] for mode in modes], modes=modes, dtype=F64),
    )
    for wanted in asked:
        old = model[0].weight.detach()
        tails = 0.0
        for mode, rank in zip(modes, wanted, strict=True):
            tails += float(torch.linalg.svdvals(unfold(old, mode))[rank:].square().sum())
        record = set_ranks(model, wanted, generator=torch.Generator().manual_seed(0))["0"]
        assert [model[0].ranks[mode] for mode in modes] == list(wanted)
        error = float((model[0].weight.detach() - old).norm())
        scale = float(old.norm())
        # Rounding of the square of a small error is as large as eps before the root.
        assert record.truncation_error == pytest.approx(error / scale, rel=1e-6, abs=1e-7)
        assert error <= tails**0.5 * (1 + 1e-10) + 1e-7 * scale  # of each mode the tail, by Pythagoras
        assert record.orthonormality_defect < 1e-13


def test_the_same_ranks_change_nothing() -> None:
    model = network()
    optimizer = tdlrt(model)
    for seed in range(4):
        one_step(model, optimizer, seed)
    before, state = snapshot(model), copy.deepcopy(optimizer.state_dict())
    set_ranks(model, {"0": model[0].ranks, "4": model[4].ranks}, optimizer=optimizer)
    assert same(before, snapshot(model))
    after = optimizer.state_dict()
    assert after["tdlrt"] == state["tdlrt"]
    torch.testing.assert_close(after["state"], state["state"], rtol=0, atol=0)


def test_layers_by_name_pattern_class_policy_and_number() -> None:
    model = network(rank=2)
    set_ranks(model, {".*": 1, "0": (4, 1), Linear: 0.25, "6": Fixed(3)})
    assert [model[i].ranks for i in (0, 4, 6)] == [(4, 1, 3, 3), (6, 6), (3, 3)]
    set_ranks(model, 10**6)
    assert [model[i].ranks for i in (0, 4, 6)] == [(8, 2, 3, 3), (24, 24), (5, 5)]
    set_ranks(model, {"0": (2, 2, 3, 3)})
    assert model[0].ranks == (2, 2, 3, 3)


def test_random_directions_come_from_the_generator() -> None:
    results = []
    for seed in (1, 1, 2):
        model = nn.Sequential(linear(2))
        state = torch.get_rng_state()
        set_ranks(model, 5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.get_rng_state(), state)
        results.append(model[0].factors[0].detach())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_full_rank_can_be_reached_from_one() -> None:
    """A square basis: the last random directions hardly have room."""
    model = nn.Sequential(Linear(300, 300, rank=1))
    before = model[0].weight.detach()
    set_ranks(model, 300)
    assert float(orthonormality_defect(model[0].factors[0].detach())) < 1e-5
    torch.testing.assert_close(model[0].weight.detach(), before)


def test_shared_weights_change_together() -> None:
    model = LanguageModel()
    factorize(model, 3, include=["embedding", "output"])
    tokens = torch.arange(6).unsqueeze(0)
    before = model.eval()(tokens)
    records = set_ranks(model, {"output": (5, 6)})
    assert list(records) == ["embedding"]
    assert model.output.core is model.embedding.core
    assert model.embedding.ranks == model.output.ranks == (5, 6)
    torch.testing.assert_close(model(tokens), before, rtol=1e-4, atol=1e-5)
    with pytest.raises(RankError, match="'embedding' and 'output' share their weight"):
        set_ranks(model, {"output": 2, "embedding": 3})


def test_padding_rows_stay_zero() -> None:
    model = nn.Sequential(Embedding(6, 8, padding_idx=2, rank=2, dtype=F64))
    before = model[0].weight.detach()
    set_ranks(model, (5, 4))
    assert not model[0].factors[0][2].any()
    assert float(orthonormality_defect(model[0].factors[0].detach())) < 1e-14
    torch.testing.assert_close(model[0].weight.detach(), before)
    with pytest.raises(RankError, match="padding row is zero; pass at most 5"):
        set_ranks(model, (6, 4))


def test_what_evaluation_kept_is_not_used_any_more() -> None:
    model = network().eval()
    inputs = batch()[0]
    with torch.inference_mode():
        full = model(inputs)
        set_ranks(model, 1)
        low = model(inputs)
    assert not torch.allclose(full, low)
    torch.testing.assert_close(copy.deepcopy(model)(inputs), low, rtol=1e-5, atol=1e-6)
    model.train()
    model(inputs).sum().backward()  # parameters can be trained still


def test_frozen_layers_stay_frozen() -> None:
    model = network()
    model[4].requires_grad_(False)
    set_ranks(model, {"4": 3})
    assert not any(parameter.requires_grad for parameter in (model[4].core, *model[4].factors.values()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = nn.Sequential(linear(4)).to(dtype)
    before = model[0].weight.detach()
    set_ranks(model, (6, 5))
    torch.testing.assert_close(model[0].weight.detach(), before)
    set_ranks(model, 2)
    assert model[0].core.dtype == dtype


def nothing_factorised():
    return nn.Sequential(nn.Linear(3, 3)), 2, {}, SelectorError, "call rankfold.factorize"


def unknown_layer():
    return network(), {"5": 2}, {}, SelectorError, "'5' matches none of the 3 layers"


def no_policy():
    return network(), {"4": "half"}, {}, OptionError, "got the text 'half'"


def a_policy_that_measures():
    policy = Latency(example_inputs=batch()[0])
    return network(), {"4": policy}, {}, OptionError, "^set_ranks: Latency needs to see the weights"


def rank_of_zero():
    return network(), {"0": 2, "4": (0, 2)}, {}, RankError, "layer '4': got ranks"


def too_many_ranks():
    return network(), {"4": (2, 2, 2)}, {}, RankError, "one rank per mode"


def a_mode_without_factor():
    return network(), {"0": (2, 2, 1, 3)}, {}, RankError, "only modes \\(0, 1\\) are factorised"


def not_finite():
    model = network()
    model[4].core.data[0, 0] = float("nan")
    return model, 2, {}, NonFiniteError, "NaN"


def another_model():
    other = torch.optim.SGD(network().parameters(), lr=1)
    return network(), 2, {"optimizer": other}, OptimizerError, "trains no parameter of this model"


def unknown_rule():
    model = network()
    optimizer = torch.optim.Adagrad(model.parameters())
    one_step(model, optimizer, 0)
    return model, 2, {"optimizer": optimizer}, OptimizerError, "^set_ranks: .*register_transport\\(Adagrad"


def above_the_largest_rank():
    model = network(rank=2)
    optimizer = tdlrt(model, max_rank=3)
    return model, {"0": 1, "4": 4}, {"optimizer": optimizer}, RankError, "TDLRT keeps them from"


def below_the_smallest_rank():
    model = network(rank=2)
    optimizer = tdlrt(model, min_rank=2)
    return model, {"0": 2, "4": (1, 2)}, {"optimizer": optimizer}, RankError, "TDLRT keeps them from"


@pytest.mark.parametrize(
    "make",
    [
        nothing_factorised,
        unknown_layer,
        no_policy,
        a_policy_that_measures,
        rank_of_zero,
        too_many_ranks,
        a_mode_without_factor,
        not_finite,
        another_model,
        unknown_rule,
        above_the_largest_rank,
        below_the_smallest_rank,
    ],
)
def test_refusals_change_nothing(make) -> None:
    model, wanted, options, error, message = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=message) as caught:
        set_ranks(model, wanted, **options)
    assert isinstance(caught.value, RankfoldError)
    assert "\n" not in str(caught.value)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n].nan_to_num(7), after[n].nan_to_num(7)) for n in before)


def test_a_refusal_in_the_middle_of_a_cycle_does_not_truncate() -> None:
    model = network(rank=2)
    optimizer = tdlrt(model, max_rank=3)
    one_step(model, optimizer, 0)
    before, wide = snapshot(model), weights(model)
    with pytest.raises(RankError):
        set_ranks(model, 4, optimizer=optimizer)
    assert same(before, snapshot(model))
    assert all(torch.equal(wide[name], value) for name, value in weights(model).items())

"""How layers choose their execution, and what they keep in evaluation."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import network, tdlrt
from torch import nn

from rankfold import OptionError
from rankfold.layers import Conv2d, ConvTranspose2d, Embedding, Linear
from rankfold.layers._execution import EXECUTIONS, Sizes, cheapest_sides, sides_of
from rankfold.layers._machine import Machine

TYPICAL = Machine(flops=1e11, bandwidth=1e10, overhead=1e-5)


def sizes(core, full, positions, *, training=True, modes=(1, 0), available=(0, 1), groups=1):
    return Sizes(core, full, modes, available, groups, positions, positions, training, 4)


# -- the choice ------------------------------------------------------------------------------------------------


def test_an_execution_names_the_factors_that_stay_apart():
    assert {name: sides_of(name, (1, 0), (0, 1)) for name in EXECUTIONS} == {
        "chain": (0, 1),
        "merge_input": (0,),
        "merge_output": (1,),
        "dense": (),
    }
    assert sides_of("merge_input", (0, 1), (0, 1)) == (1,)  # a transposed convolution
    assert sides_of("chain", (1, 0), (1,)) == (1,)
    assert sides_of("dense", (1, 0), ()) == ()


def test_low_ranks_of_wide_layers_run_as_a_chain_and_full_ranks_dense():
    wide = (512, 512, 3, 3)
    assert cheapest_sides(sizes((16, 16, 3, 3), wide, 4096), TYPICAL) == (0, 1)
    assert cheapest_sides(sizes((512, 512, 3, 3), wide, 65536), TYPICAL) == ()
    assert cheapest_sides(sizes((16, 16, 3, 3), wide, 4096, training=False), TYPICAL) == (0, 1)


def test_a_factor_of_nearly_full_rank_is_merged_alone():
    shape = (512, 512, 3, 3)
    assert cheapest_sides(sizes((16, 500, 3, 3), shape, 65536), TYPICAL) == (0,)
    assert cheapest_sides(sizes((500, 16, 3, 3), shape, 65536), TYPICAL) == (1,)


def test_small_layers_save_calls():
    """Where only the number of calls counts one dense call is the cheapest in evaluation."""
    slow_to_start = Machine(flops=1e15, bandwidth=1e15, overhead=1.0)
    assert cheapest_sides(sizes((2, 2), (64, 64), 8, training=False), slow_to_start) == ()
    # While training a merge costs calls of its own, of which the chain has none.
    assert cheapest_sides(sizes((2, 2), (64, 64), 8), slow_to_start) == (0, 1)


def test_merging_is_paid_in_training_only():
    core, full = (24, 24, 3, 3), (64, 64, 3, 3)
    few = [cheapest_sides(sizes(core, full, 16, training=training), TYPICAL) for training in (True, False)]
    assert few == [(0, 1), ()]


def test_the_fewest_multiplications_win_clearly_or_the_chain_stays():
    """Multiplications of each execution counted by hand."""
    arithmetic = Machine(flops=1.0, bandwidth=1e300, overhead=0.0)

    def multiplications(p, q, sides):
        o, i, positions = 64, 96, 10_000
        inner, outer = q if 1 in sides else i, p if 0 in sides else o
        total = inner * outer * 9 + (i * q if 1 in sides else 0) + (p * o if 0 in sides else 0)
        return positions * total

    for p in (16, 32, 48, 64):
        for q in (16, 48, 80, 96):
            chosen = cheapest_sides(sizes((p, q, 3, 3), (64, 96, 3, 3), 10_000, training=False), arithmetic)
            every = [multiplications(p, q, sides_of(name, (1, 0), (0, 1))) for name in EXECUTIONS]
            fewest, chain = min(every), every[0]
            assert multiplications(p, q, chosen) in (fewest, chain)
            if fewest < 0.8 * chain:
                assert multiplications(p, q, chosen) == fewest
            if fewest > 0.97 * chain:
                assert chosen == (0, 1)


@pytest.mark.parametrize("modes", [(1, 0), (0, 1)])
@pytest.mark.parametrize("available", [(), (0,), (1,), (0, 1)])
def test_only_modes_with_a_factor_are_chosen(available, modes):
    for machine in (TYPICAL, Machine(1e6, 1e15, 1e-9), Machine(1e15, 1e6, 1e-9)):
        for groups in (1, 2):
            found = cheapest_sides(
                sizes((8, 8, 3, 3), (32, 32, 3, 3), 100, modes=modes, available=available, groups=groups),
                machine,
            )
            assert set(found) <= set(available)


LAYERS = {
    "linear": (lambda: Linear(12, 10, rank=3), (7, 12)),
    "conv": (lambda: Conv2d(6, 8, 3, padding=1, rank=3), (2, 6, 5, 5)),
    "conv-all": (lambda: Conv2d(6, 8, 3, rank=2, modes=(0, 1, 2, 3)), (2, 6, 5, 5)),
    "conv-groups": (lambda: Conv2d(8, 12, 3, groups=2, rank=2), (2, 8, 5, 5)),
    "conv-window": (lambda: Conv2d(6, 8, 3, rank=2, modes=(2, 3)), (2, 6, 5, 5)),
    "transposed": (lambda: ConvTranspose2d(6, 8, 3, 2, rank=3), (2, 6, 5, 5)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("execution", [None, *EXECUTIONS])
@pytest.mark.parametrize("case", LAYERS)
def test_every_execution_computes_the_dense_layer(case, execution, training):
    make, shape = LAYERS[case]
    torch.manual_seed(0)
    layer = make().double().train(training)
    x = torch.randn(shape, dtype=torch.float64)
    layer.execution = execution
    expected = layer.dense()(x)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        for _ in range(2):  # the second call finds what the first kept
            torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("recompute", [False, True])
def test_every_execution_has_the_gradients_of_the_chain(execution, recompute):
    torch.manual_seed(0)
    layer = Conv2d(6, 8, 3, padding=1, rank=3).double()
    layer.recompute = recompute
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64, requires_grad=True)
    found = []
    for way in ("chain", execution):
        layer.execution = way
        wanted = [x, layer.core, *layer.factors.values(), layer.bias]
        found.append(torch.autograd.grad(layer(x).square().sum(), wanted))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("execution", ["fast", "Dense", 3])
def test_an_unknown_execution_is_refused(execution):
    layer = Linear(12, 10, rank=3)
    layer.execution = execution
    with pytest.raises(OptionError, match="chain"):
        layer(torch.ones(2, 12))


def test_evaluation_is_free_to_merge_while_an_optimiser_collects():
    model = network()
    tdlrt(model, core_steps=1)
    model[4].execution = "dense"
    model.eval()
    with torch.no_grad():
        assert model[4]._sides(torch.ones(2, 128)) == ()
    assert model[4]._sides(torch.ones(2, 128)) == (0, 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("case", ["linear", "conv"])
def test_a_traced_layer_computes_the_same(case, gradients):
    make, shape = LAYERS[case]
    layer, x = make().eval(), torch.randn(shape)
    with torch.set_grad_enabled(gradients):
        traced = torch.jit.trace(layer, x)
        torch.testing.assert_close(traced(2 * x), layer(2 * x))


@pytest.mark.parametrize("case", LAYERS)
def test_one_example_at_a_time_by_vmap(case):
    make, shape = LAYERS[case]
    layer, x = make().eval(), torch.randn(shape)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(torch.vmap(lambda row: layer(row[None])[0])(x), layer(x))


@pytest.mark.parametrize("case", LAYERS)
def test_batched_gradients(case):
    make, shape = LAYERS[case]
    layer, x = make(), torch.randn(shape, requires_grad=True)
    output = layer(x)
    directions = torch.randn(3, *output.shape)
    (found,) = torch.autograd.grad(output, x, directions, is_grads_batched=True, retain_graph=True)
    for one, direction in zip(found, directions, strict=True):
        torch.testing.assert_close(one, torch.autograd.grad(output, x, direction, retain_graph=True)[0])


def test_embeddings_never_merge_their_table():
    layer = Embedding(50, 8, rank=3).eval()
    layer.execution = "dense"
    with torch.no_grad():
        torch.testing.assert_close(layer(torch.arange(50)), layer.weight)


# -- merged cores ----------------------------------------------------------------------------------------------


def evaluated(execution="dense"):
    torch.manual_seed(0)
    layer = Linear(12, 10, rank=3).double().eval()
    layer.execution = execution
    x = torch.randn(5, 12, dtype=torch.float64)
    with torch.no_grad():
        layer(x)
    return layer, x


def expect_dense(layer, x):
    with torch.no_grad():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=1e-12, atol=1e-12)


def test_a_merged_core_is_made_once_while_nothing_changes(monkeypatch):
    layer, x = evaluated()
    monkeypatch.setattr(layer, "_absorbed", lambda sides: pytest.fail("merged again"))
    with torch.no_grad():
        first = layer(x)
        with torch.inference_mode():
            assert torch.equal(layer(x), first)


@pytest.mark.parametrize("execution", ["dense", "merge_input", "merge_output"])
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.core.mul_(2),
        lambda layer: layer.factor_0[3].zero_(),
        lambda layer: layer.core.data.mul_(2),
        lambda layer: layer.factor_1.data.copy_(layer.factor_1.data.flip(0)),
        lambda layer: setattr(layer.core, "data", layer.core.data * 3),
        lambda layer: setattr(layer, "core", nn.Parameter(layer.core * 3)),
        lambda layer: layer.load_state_dict(Linear(12, 10, rank=4).state_dict()),
        lambda layer: layer.reset_parameters(),
        lambda layer: layer.assign(layer.tucker.truncate(ranks=(2, 2))),
        lambda layer: layer.share(Linear(12, 10, rank=2).double()),
        lambda layer: torch.optim.SGD([layer.core], lr=1.0).step(
            lambda: setattr(layer.core, "grad", layer.core * 1)
        ),
    ],
)
def test_changes_of_parameters_are_seen(change, execution):
    layer, x = evaluated(execution)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        change(layer)
    assert not torch.equal(layer.weight, before)
    expect_dense(layer, x)


def test_training_after_evaluation_goes_through_the_parameters():
    layer, x = evaluated()
    layer(x).sum().backward()  # gradients are enabled, so nothing kept is used
    assert layer.core.grad is not None
    layer.train()
    with torch.no_grad():
        layer.core *= 2
    layer.eval()
    expect_dense(layer, x)


def test_executions_do_not_take_each_others_core():
    layer, x = evaluated()
    for execution in (*EXECUTIONS, *reversed(EXECUTIONS)):
        layer.execution = execution
        expect_dense(layer, x)


def test_copies_do_not_share_what_is_kept():
    layer, x = evaluated()
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.core *= 2
    expect_dense(twin, x)
    expect_dense(layer, x)


def test_a_change_of_dtype_is_seen():
    layer, x = evaluated()
    layer.float()
    with torch.no_grad():
        torch.testing.assert_close(layer(x.float()), F.linear(x.float(), layer.weight, layer.bias))


def test_autocast_and_full_precision_do_not_mix():
    torch.manual_seed(0)
    layer = Linear(12, 10, rank=3).eval()
    layer.execution = "dense"
    x = torch.randn(5, 12)
    with torch.no_grad():
        for enabled in (True, False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                found = layer(x)
            assert found.dtype == (torch.bfloat16 if enabled else torch.float32)
            expected = F.linear(x, layer.weight, layer.bias)
            rounding = 0.05 if enabled else 1e-6
            torch.testing.assert_close(found.float(), expected, rtol=rounding, atol=rounding)


def test_models_made_in_inference_mode_run():
    with torch.inference_mode():
        layer = Linear(12, 10, rank=3).eval()
        layer.execution = "dense"
        x = torch.randn(5, 12)
        for _ in range(2):
            torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
            layer.core *= 2


def test_an_ensemble_by_vmap_in_evaluation():
    torch.manual_seed(0)
    layers = [Linear(12, 10, rank=3).eval() for _ in range(3)]
    layers[0].execution = "dense"
    stacked, buffers = torch.func.stack_module_state(layers)
    x = torch.randn(5, 12)
    with torch.no_grad():
        for _ in range(2):
            found = torch.vmap(lambda p: torch.func.functional_call(layers[0], (p, buffers), (x,)))(stacked)
            for row, layer in zip(found, layers, strict=True):
                torch.testing.assert_close(row, F.linear(x, layer.weight, layer.bias))
            torch.testing.assert_close(layers[0](x), F.linear(x, layers[0].weight, layers[0].bias))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("case", LAYERS)
def test_memory_formats_do_not_take_each_others_tensors(case, execution):
    make, shape = LAYERS[case]
    layer, x = make().double().eval(), torch.randn(shape, dtype=torch.float64)
    layer.execution = execution
    expected = layer.dense()(x)
    formats = (
        [x] if x.ndim < 4 else [x, x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT]
    )
    with torch.no_grad():
        for images in (*formats, *reversed(formats)):
            torch.testing.assert_close(layer(images), expected, rtol=1e-12, atol=1e-12)
        for factor in layer.factors.values():
            factor *= 2
        layer.bias.zero_()
        for images in formats:
            torch.testing.assert_close(layer(images), layer.dense()(x), rtol=1e-12, atol=1e-12)


def test_choices_follow_ranks_and_sizes():
    """Every choice with what was remembered is the choice of a fresh layer."""
    torch.manual_seed(0)
    layer = Conv2d(32, 32, 3, rank=4).eval()
    for rank in (4, 32, 16, 4):
        layer.assign(Conv2d(32, 32, 3, rank=rank).tucker)
        fresh = copy.deepcopy(layer)
        for positions in (3, 30, 3):
            x = torch.randn(1, 32, positions, positions)
            for gradients in (False, True):
                with torch.set_grad_enabled(gradients):
                    assert layer._sides(x) == Conv2d(32, 32, 3, rank=rank)._sides(x)
                    torch.testing.assert_close(layer(x), fresh.dense()(x), rtol=1e-4, atol=1e-4)

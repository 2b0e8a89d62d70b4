"""State of the inner optimiser follows the core's coordinates."""

from itertools import product

import pytest
import torch
from tests.training.networks import network, one_step, tdlrt, weights
from tests.training.problems import random_tensor

from rankfold import OptimizerError, OptionError, register_transport
from rankfold.linalg import mode_product
from rankfold.training import TRANSPORT_RULES
from rankfold.training._transport import pad_state, rotate_state, transport_rule

ADAM = TRANSPORT_RULES["Adam"]


def rotation(size: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(random_tensor(size, size, seed=seed)).Q


def turned(tensor: torch.Tensor, rotations: dict[int, torch.Tensor]) -> torch.Tensor:
    for mode, matrix in rotations.items():
        tensor = mode_product(tensor, matrix, mode)
    return tensor


def test_first_moments_are_the_moments_of_the_turned_gradients():
    core = random_tensor(4, 3, 2)
    rotations = {0: rotation(4, 1)[:2], 1: rotation(3, 2)}
    moment, turned_moment = torch.zeros_like(core), torch.zeros(2, 3, 2, dtype=core.dtype)
    for seed in range(5):
        gradient = random_tensor(4, 3, 2, seed=seed)
        moment = 0.9 * moment + gradient
        turned_moment = 0.9 * turned_moment + turned(gradient, rotations)
    moved = rotate_state({"exp_avg": moment, "step": torch.tensor(5.0)}, ADAM, core, rotations)
    torch.testing.assert_close(moved["exp_avg"], turned_moment)
    assert moved["step"] == 5


def test_second_moments_are_the_mean_squares_of_turned_gradients_with_independent_signs():
    """Exact: the mean over all 2^6 sign patterns, not a sample."""
    sizes = random_tensor(3, 2).abs()
    rotations = {0: rotation(3, 1), 1: rotation(2, 2)[:1]}
    mean = torch.zeros(3, 1, dtype=sizes.dtype)
    for signs in product((-1.0, 1.0), repeat=6):
        pattern = torch.tensor(signs, dtype=sizes.dtype).reshape(3, 2)
        mean += turned(sizes * pattern, rotations).square() / 64
    moved = rotate_state({"exp_avg_sq": sizes.square()}, ADAM, sizes, rotations)
    torch.testing.assert_close(moved["exp_avg_sq"], mean)


def test_widening_pads_first_moments_with_zero_and_second_moments_with_their_mean():
    core = random_tensor(2, 3)
    state = {"exp_avg": core.clone(), "exp_avg_sq": core.square(), "step": torch.tensor(3.0)}
    wide = pad_state(state, ADAM, core, {0: 4, 1: 3})
    assert wide["exp_avg"].shape == (4, 3)
    assert torch.equal(wide["exp_avg"][:2], core)
    assert not wide["exp_avg"][2:].any()
    assert torch.equal(wide["exp_avg_sq"][:2], core.square())
    torch.testing.assert_close(wide["exp_avg_sq"][2:], core.square().mean().expand(2, 3))


def test_up_and_down_again_gives_the_state_back():
    core = random_tensor(2, 3)
    state = {"exp_avg": core.clone(), "exp_avg_sq": core.square(), "max_exp_avg_sq": 2 * core.square()}
    wide = pad_state(state, ADAM, core, {0: 4, 1: 5})
    back = {mode: torch.eye(r, n, dtype=core.dtype) for mode, (r, n) in enumerate(((2, 4), (3, 5)))}
    again = rotate_state(wide, ADAM, torch.zeros(4, 5), back)
    for name, value in state.items():
        assert torch.equal(again[name], value)


def test_momentum_not_started_yet_stays_none():
    assert pad_state({"momentum_buffer": None}, TRANSPORT_RULES["SGD"], torch.zeros(2, 2), {0: 3}) == {
        "momentum_buffer": None
    }


def test_unknown_state_of_the_cores_shape_is_refused():
    with pytest.raises(OptimizerError, match=r"'strange'.*register_transport"):
        rotate_state({"strange": torch.zeros(2, 3)}, ADAM, torch.zeros(2, 3), {})


def test_unknown_optimisers_are_refused_with_the_way_to_add_one():
    with pytest.raises(OptimizerError, match=r"Adagrad.*register_transport\(Adagrad"):
        transport_rule(torch.optim.Adagrad)


def test_subclasses_follow_the_rule_of_their_base():
    class Mine(torch.optim.SGD):
        pass

    assert transport_rule(Mine) is TRANSPORT_RULES["SGD"]
    assert transport_rule(torch.optim.AdamW) is TRANSPORT_RULES["AdamW"]


def test_registering_twice_is_refused():
    with pytest.raises(OptionError, match="'SGD' is registered already"):
        register_transport(torch.optim.SGD)


def test_state_lies_in_memory_as_the_core_does_for_fused_optimisers():
    found = []
    for fused in (False, True):
        model = network(dtype=torch.float64)
        optimizer = tdlrt(model, integrator="parallel", tolerance=0.05, fused=fused)
        for seed in range(12):
            one_step(model, optimizer, seed)
        found.append(weights(model))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)

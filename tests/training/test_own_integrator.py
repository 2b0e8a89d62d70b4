"""An integrator need not be registered: TDLRT takes the record itself."""

import copy
import pickle
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from tests.training.networks import network, one_step, same, snapshot, tdlrt

from rankfold.formats import Tucker
from rankfold.training import INTEGRATORS, Integrator
from rankfold.training.integrators import BasisStep, Gradients

AUGMENTED = INTEGRATORS["augmented"]
seen: list[int] = []


def counted(
    tuckers: Sequence[Tucker], gradients: Sequence[Gradients], rates: Sequence[float]
) -> list[BasisStep]:
    seen.append(len(tuckers))
    return AUGMENTED.advance(tuckers, gradients, rates)


# Under the name of another one, which must not be what decides.
OWN = replace(AUGMENTED, advance=counted)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


@pytest.mark.parametrize("name", INTEGRATORS)
def test_a_record_trains_as_its_name_does(name: str) -> None:
    models = [network() for _ in range(2)]
    for model, given in zip(models, (name, INTEGRATORS[name]), strict=True):
        optimizer = tdlrt(model, integrator=given)
        for seed in range(6):
            one_step(model, optimizer, seed)
    assert same(*map(snapshot, models))


@pytest.mark.parametrize("closure", [True, False])
def test_core_steps_of_1_take_its_own_step(closure: bool) -> None:
    model = network()
    optimizer = tdlrt(model, integrator=OWN, core_steps=1)
    for seed in range(4):
        one_step(model, optimizer, seed, closure)
    # With a closure each call is a cycle, without one a cycle takes two: no layer steps in its place.
    assert seen == [3] * (4 if closure else 2)


def test_copies_keep_it() -> None:
    model = network()
    optimizer = tdlrt(model, integrator=OWN, core_steps=1)
    one_step(model, optimizer, 0)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert other.integrator == OWN
    _, copied = copy.deepcopy((model, optimizer))
    seen.clear()
    one_step(copied.model, copied, 1)
    one_step(copied.model, copied, 2)
    assert seen == [3]


def test_a_copy_of_the_augmented_one_still_takes_one_pass() -> None:
    model, optimizer = copy.deepcopy((model := network(), tdlrt(model, core_steps=1)))
    assert isinstance(optimizer.integrator, Integrator)
    one_step(model, optimizer, 0)
    assert optimizer.records  # the first call was a whole cycle


def test_it_is_not_registered() -> None:
    tdlrt(network(), torch.optim.AdamW, integrator=replace(OWN, name="counted"))
    assert "counted" not in INTEGRATORS

"""Starts with decaying spectra, the quadratic, and the study at a size of nothing."""

from dataclasses import replace
from math import prod

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.convert import factorized_layers
from rankfold.data import Dataset
from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies import _small_singular_values as module
from rankfold.studies._decaying_quadratic import directly_descended, integrated, quadratic
from rankfold.studies._decaying_starts import (
    LAYERS,
    RANK,
    WAYS,
    accuracy_curve,
    decaying_network,
    write_directly,
)
from rankfold.studies._small_singular_values import SMALL_SINGULAR_VALUES as STUDY
from rankfold.studies._small_singular_values_views import accuracy_after


def images(count: int) -> Dataset:
    """Squares of three brightnesses, by class, with noise."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(count) % 3
    inputs = 0.1 * torch.randn(count, 1, 28, 28, generator=generator)
    inputs[:, :, 8:20, 8:20] += (targets - 1.0).view(-1, 1, 1, 1)
    test = slice(0, 30)
    return Dataset("squares", inputs, targets, inputs[test], targets[test], 10, (0.0,), (1.0,))


def spectrum(weight: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(weight.detach().double().flatten(1))


@pytest.fixture(scope="module")
def networks():
    return {decay: dict(factorized_layers(decaying_network(decay, seed=3))) for decay in (1.0, 2.0)}


def test_the_spectrum_of_the_linear_layer_falls_by_the_decay(networks) -> None:
    plain, decayed = (spectrum(networks[decay]["linear1"].weight)[:RANK] for decay in (1.0, 2.0))
    expected = plain * 2.0 ** -torch.arange(RANK)
    # float32 factors of a weight whose largest singular value is plain[0].
    torch.testing.assert_close(decayed, expected, rtol=1e-5, atol=1e-6 * float(plain[0]))


def test_the_core_of_a_convolution_falls_by_the_decay_along_both_channel_modes(networks) -> None:
    plain, decayed = (networks[decay]["conv2"].tucker for decay in (1.0, 2.0))
    rows = 2.0 ** -torch.arange(plain.core.shape[0])
    columns = 2.0 ** -torch.arange(plain.core.shape[1])
    expected = plain.rotate().core * rows.view(-1, 1, 1, 1) * columns.view(1, -1, 1, 1)
    # The decayed core may be turned: its spectrum along each mode may not.
    for mode in (0, 1):
        torch.testing.assert_close(
            spectrum(decayed.core.movedim(mode, 0)),
            spectrum(expected.movedim(mode, 0)),
            rtol=1e-4,
            atol=1e-6 * float(plain.norm().detach()),
        )


@pytest.mark.parametrize("form", ["matrix", "tucker"])
def test_direct_forms_start_from_the_same_function(form: str) -> None:
    network = decaying_network(2.0, seed=3)
    inputs = torch.randn(4, 1, 28, 28)
    expected = network(inputs)
    write_directly(network, form, 2.0, seed=3)
    assert not list(factorized_layers(network))
    torch.testing.assert_close(network(inputs), expected, rtol=1e-4, atol=1e-5)


def test_cp_components_of_a_matrix_are_its_decaying_singular_values() -> None:
    network = decaying_network(2.0, seed=3)
    expected = dict(factorized_layers(network))["linear1"].weight.detach()
    write_directly(network, "cp", 2.0, seed=3)
    first, last = network.linear1
    torch.testing.assert_close(last.weight @ first.weight, expected, rtol=1e-4, atol=1e-6)


def test_cp_convolutions_have_the_norm_of_the_decayed_weight() -> None:
    network = decaying_network(10.0, seed=3)
    norm = float(dict(factorized_layers(network))["conv2"].tucker.norm().detach())
    write_directly(network, "cp", 10.0, seed=3)
    first, down, across, last = (layer.weight.detach().double() for layer in network.conv2)
    assert [tuple(part.shape) for part in (first, down, across, last)] == [
        (20, 20, 1, 1),
        (20, 1, 5, 1),
        (20, 1, 1, 5),
        (50, 20, 1, 1),
    ]
    weight = torch.einsum(
        "or,ri,rk,rl->oikl", last[:, :, 0, 0], first[:, :, 0, 0], down[:, 0, :, 0], across[:, 0, 0]
    )
    assert float(weight.norm()) == pytest.approx(norm, rel=1e-5)


def test_the_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    decaying_network(2.0, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("way", WAYS)
def test_a_curve_has_the_steps_asked_for(way: str) -> None:
    curve = accuracy_curve(images(140), way, decay=2.0, seed=1, learning_rate=0.01, epochs=1, every=1)
    assert [step for step, _ in curve] == [1, 2]  # 140 images are 2 batches of at most 128
    assert all(0 <= accuracy <= 100 for _, accuracy in curve)


def test_a_run_repeats_itself() -> None:
    options = {"decay": 2.0, "seed": 1, "learning_rate": 0.1, "epochs": 2}
    curve = accuracy_curve(images(140), "tucker", **options)
    torch.rand(1)
    assert accuracy_curve(images(140), "tucker", **options) == curve


@pytest.mark.parametrize("way", ["augmented", "matrix"])
def test_a_run_that_gives_nan_ends_there(way: str) -> None:
    curve = accuracy_curve(images(140), way, decay=1.0, seed=0, learning_rate=1e6, epochs=4)
    assert len(curve) < 4


def test_the_quadratic_has_the_spectra_it_says() -> None:
    target, start = quadratic(10.0, seed=4)
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.svdvals(target)[:4], ones)
    torch.testing.assert_close(
        torch.linalg.svdvals(start.to_dense())[:4], 10.0 ** -torch.arange(4, dtype=torch.float64)
    )


def test_plain_descent_follows_autograd() -> None:
    target, start = quadratic(2.0, seed=0)
    parts = [part.clone().requires_grad_() for part in start.tensors]
    core, first, second = parts
    loss = (first @ core @ second.mT - target).square().sum() / 2
    gradients = torch.autograd.grad(loss, parts)
    best, rate = directly_descended(2.0, 0, steps=1)
    core, first, second = (part - rate * g for part, g in zip(parts, gradients, strict=True))
    expected = (first @ core @ second.mT - target).detach().square().sum() / 2 / target.square().sum()
    assert best == pytest.approx(float(expected), rel=1e-12)


def test_an_augmented_step_takes_the_rate_off_the_whole_residual() -> None:
    # Bases of rank 4 widened to 8 hold target and start, so one step of rate 1/2 halves W - A before truncation.
    left = [integrated("augmented", 10.0, seed=0, steps=steps) for steps in (20, 40)]
    assert left[1] / left[0] == pytest.approx(0.25**20, rel=1e-3)


def test_accuracy_after_an_epoch_of_the_paper() -> None:
    row = {"rate": 0.05, "curve": [[48, 30.0], [94, 60.0], [188, 80.0]]}
    assert accuracy_after(row, 1) == 60.0
    assert accuracy_after(row, 2) == 80.0
    assert accuracy_after(row, 4) is None


def test_the_study_at_a_size_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = images(140)
    monkeypatch.setattr(module, "load_dataset", lambda name, data_dir: replace(whole, name=name))
    module._images.cache_clear()
    small = {
        "images": 130,
        "test_images": 20,
        "epochs": 1,
        "every": 1,
        "draws": 1,
        "rate": 2.5,
        "grid": [0.1],
    }
    parameters = {**STUDY.quick, **small}
    # Of the ways of TDLRT and of the direct ones one each, from both decays and at both rates.
    some = replace(
        STUDY,
        cases=lambda p: [case for case in STUDY.cases(p) if case["way"] in ("augmented", "tucker", "direct")],
    )
    run = run_study(some, StudyRun(study=some.name, size="tiny", parameters=parameters), Setting())
    module._images.cache_clear()
    records = run.records(some)
    assert run.missing == ()
    assert len(run.rows) == len(records.cases)
    holds = {finding.name: finding.holds for finding in judge(some.checks, records)}
    assert all(holds[name] is not None for name in ("first epoch augmented", "loses tucker", "tuned tucker"))
    assert holds["accuracy augmented"] is None
    assert holds["T7 direct decay 1"]
    assert holds["T7 direct decay 10"]
    for rows in (run.rows, run.rows[::2], run.rows[:1], ()):
        partial = Records(records.cases, rows)
        assert len(some.tables(partial)) == 3
        some.plot(partial, Figure(layout="constrained"))


def test_a_whole_size_judges_what_the_paper_shows() -> None:
    cases = STUDY.cases(STUDY.full)
    rows = []
    for case in cases:
        good = 96.0 - 0.1 * case["decay"] if case.get("way") in ("augmented", "one-pass", "fixed") else 50.0
        curve = [[469, good - 1], [1876, good]]
        losses = [1.0] if case["way"] == "direct" and case["decay"] == 10 else [0.0]
        rows.append({**case, "curve": curve, "accuracy": good, "diverged": False, "losses": losses})
    assert {finding.holds for finding in judge(STUDY.checks, Records(cases, rows))} == {True}
    for row in rows:
        row["accuracy"] = 100 - row["accuracy"] if row["decay"] == 10 else 99.0
        row["curve"] = [[469, 100 - row["curve"][0][1] if row["decay"] == 10 else 99.0]]
        row["losses"] = [1e-9]
    outcomes = {finding.name: finding.holds for finding in judge(STUDY.checks, Records(cases, rows))}
    assert not any(outcomes.values())


def test_layers_and_ranks_are_those_of_the_paper() -> None:
    layers = dict(factorized_layers(decaying_network(1.0, seed=0)))
    assert tuple(layers) == LAYERS
    assert [layers[name].ranks[:2] for name in LAYERS] == [(20, 1), (20, 20), (20, 20)]
    assert prod(layers["conv2"].ranks) == 20 * 20 * 25

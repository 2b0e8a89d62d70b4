"""Ranks dropped at random: attacks by hand, and the study at a tiny size."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from rankfold.studies import Setting, StudyRun, judge, run_study
from rankfold.studies._latent_dropout import LATENT_DROPOUT
from rankfold.studies._latent_dropout_attacks import attacked, signed_step
from rankfold.studies._latent_dropout_runs import FORMATS, RUNS

STUDY = LATENT_DROPOUT


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 1,
        "epochs": 2,
        "draws": 300,
        "attacks": [
            [0.0, False, True],
            [0.1, False, True],
            [0.1, False, False],
            [0.0, True, True],
            [0.1, True, True],
        ],
        "rates": [0.05],
        "cut_rates": [0.0, 0.1],
        "decays": [1e-3],
        "fixed_ranks": [4],
    }
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    assert findings["one stays"].holds
    assert findings["exact"].holds
    figure = Figure()
    STUDY.plot(tiny.records(STUDY), figure)
    figure.draw_without_rendering()
    assert all(table.rows for table in STUDY.tables(tiny.records(STUDY)))


def test_formats_have_axes_that_are_dropped_from_and_such_that_are_not() -> None:
    sizes = {
        name: list(build(torch.Generator().manual_seed(0)).latent_axes().values())
        for name, build in FORMATS.items()
    }
    assert any(min(axes) < 4 <= max(axes) for axes in sizes.values())
    assert sizes["CP, 3, left whole"] == [3]
    row = RUNS["mean"](
        {"format": "CP, 3, left whole", "p": 0.3, "at_test": False, "draws": 5, "seed": 0}, Setting()
    )
    assert row["slope"] == pytest.approx(1, abs=1e-12)


def _linear() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return nn.Linear(6, 3), torch.rand(20, 6), torch.randint(3, (20,))


@pytest.mark.parametrize("steps", [1, 10])
def test_attacks_stay_in_the_box_and_raise_the_loss(steps: int) -> None:
    model, inputs, targets = _linear()
    found = attacked(
        model, inputs, targets, size=0.1, steps=steps, generator=torch.Generator().manual_seed(0)
    )
    assert float((found - inputs).abs().max()) <= 0.1 + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert F.cross_entropy(model(found), targets) > F.cross_entropy(model(inputs), targets)


def test_averaging_sees_through_noise() -> None:
    """A model with noise in its weights: the signs of a mean gradient are nearly those without it."""
    model, inputs, targets = _linear()
    generator = torch.Generator().manual_seed(0)

    def noisy(x: Tensor) -> Tensor:
        return model(x) + (torch.randn(20, 6, generator=generator) * x) @ torch.ones(6, 3).tril()

    expected = signed_step(model, inputs, targets)
    agreement = {
        samples: float((signed_step(noisy, inputs, targets, samples=samples) == expected).float().mean())
        for samples in (1, 400)
    }
    assert agreement[1] < 0.9 < agreement[400]


def test_a_training_that_breaks_down_counts_as_wrong() -> None:
    case = {"recipe": [1e30, 0.0, 0.0], "rank": 8, "ranks": [8], "epochs": 1, "seed": 0}
    assert RUNS["cut"](case, Setting()) == {"held out at 8": 0.0, "test at 8": 0.0}

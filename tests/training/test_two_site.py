"""Matrix product states trained two cores at a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold import NonFiniteError, OptionError, ShapeError
from rankfold.data._digits import stratified_split
from rankfold.layers import MPSClassifier, haar_coarsened
from rankfold.training import fit_two_site


def problem(samples: int = 8, size: int = 300) -> tuple[Tensor, Tensor]:
    """Classes that depend on products of samples far apart."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(size, samples, generator=generator, dtype=torch.float64)
    targets = (inputs[:, 0] * inputs[:, -1] > 0.25).long() + (inputs[:, 2] > 0.5).long()
    return inputs, targets


def classifier(rank: int = 1, **options: Any) -> MPSClassifier:
    generator = torch.Generator().manual_seed(0)
    return MPSClassifier(8, 3, rank=rank, dtype=torch.float64, generator=generator, **options)


def loss_of(model: MPSClassifier, inputs: Tensor, targets: Tensor) -> float:
    with torch.no_grad():
        return float(F.cross_entropy(model(inputs), targets))


@pytest.mark.parametrize("label", [0, 4, 8])
def test_bonds_grow_from_one_and_the_loss_falls(label: int) -> None:
    model, (inputs, targets) = classifier(label=label), problem()
    before = loss_of(model, inputs, targets)
    parameters = list(model.parameters())
    records = fit_two_site(model, inputs, targets, sweeps=3, tolerance=1e-4, max_rank=6)
    assert list(model.parameters()) == parameters
    assert [record.loss for record in records] == sorted((record.loss for record in records), reverse=True)
    assert records[0].loss < 0.6 * before
    assert abs(loss_of(model, inputs, targets) - records[-1].loss) < 1e-10
    assert model.ranks == records[-1].ranks
    assert 1 < max(model.ranks) <= 6
    assert (model(inputs).argmax(1) == targets).double().mean() > 0.9


def test_the_tolerance_decides_the_bonds() -> None:
    inputs, targets = problem()
    found = []
    for tolerance in (1e-6, 1e-2, 0.5):
        model = classifier()
        fit_two_site(model, inputs, targets, sweeps=2, tolerance=tolerance)
        found.append(sum(model.ranks))
    assert found[0] > found[1] > found[2] == 8


def test_cuts_take_no_more_than_the_tolerance() -> None:
    """With a loss that no step can lower, a sweep is a truncation, each cut at most the tolerance of the norm."""
    model, (inputs, targets) = classifier(rank=6), problem()
    before = model.value.to_dense()
    fit_two_site(model, inputs, targets, sweeps=1, tolerance=0.05, loss=lambda outputs, _: 0 * outputs.sum())
    change = torch.linalg.vector_norm(model.value.to_dense() - before) / torch.linalg.vector_norm(before)
    assert 0 < change < 16 * 0.05  # two cuts for each of eight bonds
    assert sum(model.ranks) < sum(classifier(rank=6).ranks)


def test_the_state_is_left_orthogonal() -> None:
    model, (inputs, targets) = classifier(), problem()
    fit_two_site(model, inputs, targets, sweeps=1, max_rank=4)
    for core in model.value.cores[1:]:
        matrix = core.flatten(1)
        assert (matrix @ matrix.mT - torch.eye(len(matrix), dtype=torch.float64)).abs().max() < 1e-10


def test_least_squares_reach_the_best_fit() -> None:
    """A target that a state of bonds two gives exactly."""
    inputs, _ = problem()
    truth = MPSClassifier(8, 3, rank=2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for part in truth.parts.values():
            part.add_(
                0.3 * torch.randn(part.shape, generator=torch.Generator().manual_seed(1), dtype=part.dtype)
            )
        targets = truth(inputs)
    model = classifier()
    records = fit_two_site(model, inputs, targets, sweeps=8, tolerance=1e-8, iterations=20, loss=F.mse_loss)
    assert records[-1].loss < 1e-5 * float(targets.square().mean())


@pytest.mark.parametrize("context", [torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_autocast_and_inference_mode_make_no_difference(context: Callable[[], Any]) -> None:
    inputs, targets = problem()
    inputs, models = inputs.float(), (classifier().float(), classifier().float())
    first = fit_two_site(models[0], inputs, targets, sweeps=1, max_rank=3)
    with context():
        second = fit_two_site(models[1], inputs, targets, sweeps=1, max_rank=3)
    assert first == second
    models[1](inputs).sum().backward()


def test_single_precision_and_what_is_refused() -> None:
    inputs, targets = problem()
    single = classifier().float()
    fit_two_site(single, inputs.float(), targets, sweeps=1, max_rank=3)
    assert single.value.dtype == torch.float32
    model = classifier()
    before = model.value.to_dense()
    for options in (
        {"sweeps": 0},
        {"iterations": True},
        {"max_rank": 0},
        {"max_rank": 2.5},
        {"tolerance": 1.0},
        {"tolerance": -0.1},
        {"tolerance": "0"},
        {"tolerance": float("nan")},
    ):
        with pytest.raises(OptionError, match="fit_two_site"):
            fit_two_site(model, inputs, targets, **options)
    for wrong in (inputs[:, 1:], inputs[0], inputs[:0], inputs.float()):
        with pytest.raises(ShapeError, match="fit_two_site: got"):
            fit_two_site(model, wrong, targets)
    broken = inputs.clone()
    broken[3, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="the classifier is as it was"):
        fit_two_site(model, broken, targets)
    assert torch.equal(model.value.to_dense(), before)


# -- digits --------------------------------------------------------------------------------------------


def digits(level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images in Morton order, coarsened by Haar isometries: 64, 32 or 16 samples."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    raw = datasets.load_digits()
    order = sorted(range(64), key=lambda place: morton(place // 8, place % 8))
    signals = haar_coarsened(torch.from_numpy(raw["data"]).double()[:, order] / 16, level)
    targets = torch.from_numpy(raw["target"]).long()
    train, test = stratified_split(targets.numpy(), 360)
    return signals[train], targets[train], signals[test], targets[test]


def morton(row: int, column: int) -> int:
    """The bits of both numbers, one after the other."""
    return sum((row >> bit & 1) << (2 * bit + 1) | (column >> bit & 1) << (2 * bit) for bit in range(3))


def accuracy(model: MPSClassifier, inputs: Tensor, targets: Tensor) -> float:
    with torch.no_grad():
        return float((model(inputs).argmax(1) == targets).double().mean())


def train_by_adam(model: MPSClassifier, inputs: Tensor, targets: Tensor, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=generator).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()


def test_a_classifier_of_coarse_digits_becomes_one_of_fine_ones() -> None:
    inputs, targets, *test = digits(2)
    model = MPSClassifier(16, 10, rank=4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fit_two_site(model, inputs, targets, sweeps=1, tolerance=1e-2, max_rank=10, iterations=4)
    found = accuracy(model, *test)
    assert found > 0.85
    expected = model(test[0])
    for level in (1, 0):
        model = model.refine()
        fine = digits(level)[2]
        assert torch.linalg.vector_norm(model(fine) - expected) < 1e-10 * torch.linalg.vector_norm(expected)
        assert accuracy(model, fine, test[1]) == found
        assert max(model.ranks) <= 20


@pytest.mark.slow
def test_training_goes_on_at_the_finer_level() -> None:
    """Exactness is the gain; that the warm start beats training from scratch is not claimed."""
    inputs, targets, *test = digits(2)
    coarse = MPSClassifier(16, 10, rank=10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    train_by_adam(coarse, inputs, targets, 10)
    before = accuracy(coarse, *test)
    assert before > 0.85
    fine, (inputs, targets, *test) = coarse.refine(), digits(1)
    assert accuracy(fine, *test) == before
    train_by_adam(fine, inputs, targets, 10)
    assert accuracy(fine, *test) >= before

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfold import TT, OptionError, ShapeError
from rankfold.layers import MPSClassifier, haar_coarsened
from rankfold.testing import assert_same


def classifier(samples: int = 6, **options: Any) -> MPSClassifier:
    given = {"rank": 3, "dtype": torch.float64, "generator": torch.Generator().manual_seed(0), **options}
    return MPSClassifier(samples, 4, **given)


def dense_outputs(model: MPSClassifier, signals: Tensor) -> Tensor:
    """By the dense weight on the Kronecker product of all features."""
    weight = model.value.to_dense().movedim(model.label, -1).reshape(-1, model.classes)
    rows = []
    for signal in signals:
        product = signal.new_ones(1)
        for x in signal:
            product = torch.kron(product, torch.stack([torch.ones_like(x), x]))
        rows.append(product @ weight)
    return torch.stack(rows)


@pytest.mark.parametrize("label", [0, 1, 3, 6, None])
def test_outputs_are_those_of_the_dense_weight(label: int | None) -> None:
    model, signals = classifier(label=label), torch.randn(5, 6, dtype=torch.float64)
    assert model.label == (3 if label is None else label)
    assert_same(model(signals), dense_outputs(model, signals), terms=1000)
    assert_same(model(signals[0]), model(signals)[0], terms=100)
    assert model(signals[None]).shape == (1, 5, 4)
    assert model(signals[:0]).shape == (0, 4)


def test_gradients() -> None:
    model = classifier(4, rank=2)
    signals = torch.randn(2, 4, dtype=torch.float64).requires_grad_()

    def function(x: Tensor, *parts: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(model.parts, parts, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (signals, *model.parts.values()))


@pytest.mark.parametrize("label", [0, 2, 4])
def test_refined_classifiers_compute_the_same(label: int) -> None:
    coarse = classifier(4, label=label)
    fine = coarse.refine().refine()
    signals = torch.rand(7, 16, dtype=torch.float64)
    short = haar_coarsened(signals, 2)
    assert (fine.samples, fine.label, fine.classes) == (16, 4 * label, 4)
    difference = torch.linalg.vector_norm(fine(signals) - coarse(short))
    assert difference < 1e-10 * torch.linalg.vector_norm(coarse(short))
    assert max(fine.ranks) <= 2 * max(coarse.ranks)
    fine(signals).sum().backward()
    assert coarse.core_0.grad is None
    assert not coarse.eval().refine().training


def test_long_signals_neither_grow_nor_fade() -> None:
    model = MPSClassifier(256, 10, rank=10, generator=torch.Generator().manual_seed(0))
    outputs = model(torch.rand(20, 256, generator=torch.Generator().manual_seed(1))).detach()
    assert outputs.isfinite().all()
    assert 1e-3 < float(outputs.norm()) < 1e3


def test_bonds_have_room() -> None:
    assert MPSClassifier(4, 3, rank=100).ranks == (2, 4, 4, 2)
    assert MPSClassifier(4, 3, rank=2, label=0).ranks == (2, 2, 2, 2)
    assert MPSClassifier(2, 1, rank=1, label=2).ranks == (1, 1)


def test_takes_over_a_train() -> None:
    model = classifier()
    parameters = list(model.parameters())
    model.assign(model.value.truncate(ranks=1))
    assert list(model.parameters()) == parameters
    assert set(model.ranks) == {1}
    again = MPSClassifier.from_value(model.value, model.label)
    signals = torch.randn(2, 6, dtype=torch.float64)
    assert torch.equal(again(signals), model(signals))
    copied = copy.deepcopy(model)
    with torch.no_grad():
        model.core_1.zero_()
    assert torch.equal(copied(signals), again(signals))
    assert all(str(rank) in repr(copied) for rank in copied.ranks)
    state = copied.state_dict()
    again.load_state_dict(state)
    with pytest.raises(ShapeError, match="pass a train of the same modes"):
        model.assign(classifier(4).value)


def test_what_is_refused() -> None:
    for options in (
        {"samples": 1},
        {"samples": 2.0},
        {"rank": 0},
        {"rank": True},
        {"label": 7},
        {"label": -1},
    ):
        given: dict[str, Any] = {"samples": 6, "rank": 2, **options}
        with pytest.raises(OptionError, match="MPSClassifier"):
            MPSClassifier(given.pop("samples"), 4, **given)
    with pytest.raises(ShapeError, match="last axis must be 6"):
        classifier()(torch.randn(2, 5).double())
    for shape, levels in (((3, 6), 2), ((5,), 1), ((), 0)):
        with pytest.raises(ShapeError, match="its last axis must be a multiple of"):
            haar_coarsened(torch.ones(shape), levels)
    train = TT((torch.ones(1, 2, 2), torch.ones(2, 3, 2), torch.ones(2, 4, 1)))
    for label in (0, 1, 2, 3, -1):
        with pytest.raises(ShapeError, match="all of size 2"):
            MPSClassifier.from_value(train, label)


def test_it_is_a_module_like_others() -> None:
    model = nn.Sequential(classifier(), nn.Softmax(-1)).float()
    assert model(torch.rand(3, 6)).dtype == torch.float32
    assert len(list(model.parameters())) == 7

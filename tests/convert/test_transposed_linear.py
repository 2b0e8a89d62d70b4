"""``Conv1D`` of the transformers library, known by its name and its looks."""

from pathlib import Path

import pytest
import torch
from tests.convert import models
from torch import Tensor, nn

from rankfold import densify, factorize, fold, layers, load, save
from rankfold.testing import assert_same


def block() -> nn.Sequential:
    return nn.Sequential(models.Conv1D(12, 6), nn.GELU(), models.Conv1D(6, 12))


@pytest.mark.parametrize("rank", [1, 3, 1.0])
def test_there_and_back(rank: float) -> None:
    model, inputs = block().double(), torch.randn(2, 5, 6, dtype=torch.float64)
    expected = model(inputs)
    conversion = factorize(model, rank, example_inputs=inputs)
    assert [(row.kind, row.shape, row.reason) for row in conversion] == [
        ("Conv1D", (6, 12), None),
        ("Conv1D", (12, 6), None),
    ]
    assert all(isinstance(model[index], layers.TransposedLinear) for index in (0, 2))
    if isinstance(rank, float):
        assert_same(model(inputs), expected, terms=200)
    dense, folded = densify(model), fold(model)
    assert [type(dense[index]) for index in (0, 2)] == [models.Conv1D, models.Conv1D]
    assert block().double().load_state_dict(dense.state_dict()) == ([], [])
    assert all(type(module).__module__.startswith("torch.nn") for module in folded.modules())
    for plain in (dense, folded):
        assert_same(plain(inputs), model(inputs), terms=200)


def test_a_file_is_loaded_into_dense_layers(tmp_path: Path) -> None:
    model, other, inputs = block(), block(), torch.randn(3, 6)
    factorize(model, 2)
    save(model, tmp_path / "model.safetensors")
    load(other, tmp_path / "model.safetensors")
    assert torch.equal(other(inputs), model(inputs))
    assert type(densify(other)[0]) is models.Conv1D


class Scaled(models.Conv1D):
    """Another name and another function."""


def lookalike(**members: object) -> nn.Module:
    return type("Conv1D", (models.Conv1D,), members)(6, 8)


def _doubled(self: models.Conv1D, x: Tensor) -> Tensor:
    return 2 * models.Conv1D.forward(self, x)


def _of_images(self: models.Conv1D, x: Tensor) -> Tensor:
    return nn.functional.conv1d(x, self.weight[None])[:, 0]


def _with_an_option(self: models.Conv1D, nf: int, nx: int, scale: float = 1.0) -> None:
    models.Conv1D.__init__(self, nf, nx)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Scaled(6, 8), "Scaled is a subclass of Conv1D and may"),
        (lookalike(forward=_doubled), "Conv1D computes something else"),
        (lookalike(forward=_of_images), "Conv1D computes something else"),
        (lookalike(__init__=_with_an_option), "takes other arguments"),
    ],
    ids=str,
)
def test_what_is_not_meant_is_left_alone(layer: nn.Module, words: str) -> None:
    model = nn.Sequential(layer)
    (row,) = factorize(model, 2)
    assert words in str(row.reason)
    assert model[0] is layer


def test_other_classes_of_the_name_are_not_listed() -> None:
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 6, 3)

    assert [row.name for row in factorize(nn.Sequential(Conv1D()), 2)] == ["0.conv"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision(dtype: torch.dtype) -> None:
    model = nn.Sequential(models.Conv1D(40, 300).to(dtype))
    nn.init.normal_(model[0].bias)
    (row,) = factorize(model, 3)
    assert row.reason is None
    assert model[0].core.dtype == dtype

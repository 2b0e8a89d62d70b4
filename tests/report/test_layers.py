"""Rows of numbers."""

from torch import nn

import rankfold
from rankfold._checkpoint import read_layouts
from rankfold.report import layer_rows, layouts_of, saved_share


def test_rows_agree_with_the_conversion_and_the_file(tmp_path):
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(64, 10))
    conversion = rankfold.factorize(model, rank=3)
    rows = layer_rows(layouts_of(model))
    assert rows == conversion.converted
    assert saved_share(rows) == conversion.compression
    rankfold.save(model, tmp_path / "model.safetensors")
    assert layer_rows(read_layouts(tmp_path / "model.safetensors")) == rows


def test_a_model_without_factorised_layers_saves_nothing():
    assert layouts_of(nn.Linear(2, 2)) == {}
    assert saved_share(()) == 0.0

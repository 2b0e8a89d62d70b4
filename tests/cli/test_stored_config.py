"""config.json."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from rankfold._errors import CheckpointError
from rankfold.cli._stored_config import from_json, to_json
from rankfold.cli._train_config import TrainConfig

FILE = Path("config.json")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rank": 8, "max_rank": 0.5, "threads": 2, "learning_rate": 1.0},
        {"rank": 1.0, "max_rank": 20, "dense": True, "data_dir": Path("some/data")},
    ],
)
def test_round_trip_keeps_values_and_types(changes):
    config = TrainConfig(**changes)
    read = from_json(to_json(config), FILE)
    assert read == config
    assert all(
        type(getattr(read, field.name)) is type(getattr(config, field.name)) for field in fields(TrainConfig)
    )


def test_where_a_run_lies_is_not_stored():
    config = TrainConfig(out=Path("a"), resume=Path("b"))
    assert from_json(to_json(config), FILE) == replace(config, out=None, resume=None)


@pytest.mark.parametrize("value", ["true", "0.5", "null", '"3"', "[3]"])
def test_whole_numbers_are_whole_numbers(value):
    text = to_json(TrainConfig()).replace('"seed": 0', f'"seed": {value}')
    with pytest.raises(CheckpointError, match=r"config\.json: seed is "):
        from_json(text, FILE)


def test_a_hand_written_whole_number_is_a_fine_share():
    text = to_json(TrainConfig(tolerance=0.5)).replace('"tolerance": 0.5', '"tolerance": 0')
    assert from_json(text, FILE).tolerance == 0.0

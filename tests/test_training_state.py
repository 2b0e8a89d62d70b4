from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.test_checkpoint import network, saved
from torch import Tensor, nn

from rankfold import CheckpointError, load
from rankfold._checkpoint import load_state, save_state

tensors = st.builds(
    lambda shape, dtype: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    plain | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers() | st.text() | st.none() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(first: object, second: object) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, list):
        return isinstance(second, list) and len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and list(first) == list(second)
            and all(same(first[key], second[key]) for key in first)
        )
    return type(first) is type(second) and first == second


@given(tree=trees)
def test_states_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    path = tmp_path_factory.mktemp("state") / "run.safetensors"
    save_state(path, tree)
    assert same(load_state(path), tree)


def test_tuples_come_back_as_lists_and_nan_as_nan(tmp_path: Path) -> None:
    save_state(tmp_path / "run", {"betas": (0.9, 0.999), "loss": float("nan"), "best": float("inf")})
    tree = load_state(tmp_path / "run")
    assert tree["betas"] == [0.9, 0.999]
    assert tree["loss"] != tree["loss"]
    assert tree["best"] == float("inf")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}, [nn.Linear(1, 1)]])
def test_states_that_cannot_be_saved(tmp_path: Path, value: object) -> None:
    with pytest.raises(CheckpointError):
        save_state(tmp_path / "run", value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_no_state_and_a_state_no_model(tmp_path: Path) -> None:
    saved(tmp_path / "net")
    save_state(tmp_path / "run", {"epoch": 3})
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "net")
    with pytest.raises(CheckpointError):
        load(network(), tmp_path / "run")

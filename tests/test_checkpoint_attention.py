"""Files and models may hold attention whole or split; the model becomes what the file holds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rankfold import CheckpointError, densify, factorize, fold, load, save
from rankfold.layers import Linear, SplitAttention
from rankfold.testing import assert_same

OPTIONS: dict[str, dict[str, Any]] = {
    "packed": {},
    "own dimensions": {"kdim": 5, "vdim": 7, "add_bias_kv": True},
    "no bias": {"bias": False},
}


class Model(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
        self.keys = nn.Linear(8, self.attention.kdim, dtype=torch.float64)
        self.values = nn.Linear(8, self.attention.vdim, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.attention(inputs, self.keys(inputs), self.values(inputs))[0]


INPUTS = torch.linspace(-1, 1, 80, dtype=torch.float64).reshape(5, 2, 8).sin()


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("include", [".*", "attention.v_proj", "attention.out_proj"])
def test_split_attention_into_a_plain_model_and_back(
    tmp_path: Path, options: dict[str, Any], include: str
) -> None:
    model, other = Model(**options), Model(**options)
    save(model, tmp_path / "dense.safetensors")
    plain = state(model)
    factorize(model, 2, include=include)
    save(model, tmp_path / "low-rank.safetensors")
    load(other, tmp_path / "low-rank.safetensors")
    assert isinstance(other.attention, SplitAttention)
    assert [type(part) for part in other.attention.projections] == [
        type(part) for part in model.attention.projections
    ]
    assert torch.equal(other(INPUTS), model(INPUTS))
    load(other, tmp_path / "dense.safetensors")
    assert type(other.attention) is nn.MultiheadAttention
    assert state(other).keys() == plain.keys()
    assert all(torch.equal(value, plain[key]) for key, value in state(other).items())


def test_files_of_other_programs(tmp_path: Path) -> None:
    model, other = Model(), Model()
    save_file(state(model), tmp_path / "plain.safetensors")
    factorize(other, 2)
    load(other, tmp_path / "plain.safetensors")
    assert torch.equal(other(INPUTS), model(INPUTS))


def test_a_folded_model_is_loaded_by_what_it_holds(tmp_path: Path) -> None:
    model, other = Model(), Model()
    factorize(model, 2)
    factorize(other, 1)
    folded = fold(model)
    save(folded, tmp_path / "folded.safetensors")
    torch.save(folded, tmp_path / "folded.pt")
    again = torch.load(tmp_path / "folded.pt", weights_only=False)
    load(again, tmp_path / "folded.safetensors")
    assert_same(again(INPUTS), model(INPUTS), terms=1000)
    before = state(other)
    with pytest.raises(CheckpointError):  # factorised layers are no chains
        load(other, tmp_path / "folded.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in state(other).items())


@pytest.mark.parametrize("factorised", [False, True])
def test_a_file_that_does_not_fit_leaves_attention_alone(tmp_path: Path, factorised: bool) -> None:
    model, other = Model(), Model()
    if not factorised:
        factorize(model, 2)
    else:
        factorize(other, 2)
    model.keys = nn.Linear(8, 3).double()
    save(model, tmp_path / "model.safetensors")
    attention, before = other.attention, state(other)
    with pytest.raises(CheckpointError, match="keys"):
        load(other, tmp_path / "model.safetensors")
    assert other.attention is attention
    assert all(torch.equal(value, before[key]) for key, value in state(other).items())


def test_a_failure_while_values_are_written_restores_packed_weights(tmp_path: Path) -> None:
    model, other = Model(), Model()
    factorize(model, 2, include="attention.q_proj")
    save(model, tmp_path / "model.safetensors")
    attention, before = other.attention, state(other)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("no")

    other.register_load_state_dict_post_hook(fail)
    with pytest.raises(CheckpointError, match="no"):
        load(other, tmp_path / "model.safetensors")
    assert other.attention is attention
    assert all(torch.equal(value, before[key]) for key, value in state(other).items())


def test_encoders_know_that_they_hold_split_attention(tmp_path: Path) -> None:
    def encoder() -> nn.TransformerEncoder:
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    model, other = encoder(), encoder()
    save(model, tmp_path / "dense.safetensors")
    factorize(model, 2)
    save(model, tmp_path / "low-rank.safetensors")
    load(other, tmp_path / "low-rank.safetensors")
    assert isinstance(other.layers[1].self_attn.k_proj, Linear)
    assert not other.use_nested_tensor
    assert densify(other).use_nested_tensor
    load(other, tmp_path / "dense.safetensors")
    assert type(other.layers[1].self_attn) is nn.MultiheadAttention
    assert other.use_nested_tensor

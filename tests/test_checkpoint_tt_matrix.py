"""Models with layers over TT-matrices in files, among layers of other forms."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.convert.models import LanguageModel
from torch import Tensor, nn

from rankfold import TDLRT, CheckpointError, factorize, load, save
from rankfold._checkpoint import read_layouts
from rankfold.cli import main
from rankfold.layers import Linear, TTMatrixLinear


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(24, 36), nn.ReLU(), nn.Linear(36, 8))


def converted(**options: Any) -> nn.Sequential:
    model = network()
    factorize(model, **{"rank": 3, "format": "tt_matrix", **options})
    return model


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


SKELETONS = {
    "dense": {},
    "same": {},
    "lower": {"rank": 1},
    "higher": {"rank": 6},
    "other sizes": {"cores": 2},
    "tucker": {"format": "tucker"},
}


def skeleton(name: str) -> nn.Sequential:
    return network() if name == "dense" else converted(**SKELETONS[name])


@pytest.mark.parametrize("name", SKELETONS)
def test_round_trip(tmp_path: Path, name: str) -> None:
    model, other = converted(), skeleton(name)
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))
    assert [type(module) for module in other] == [type(module) for module in model]
    inputs = torch.randn(5, 24)
    assert torch.equal(other(inputs), model(inputs))


@pytest.mark.parametrize("name", SKELETONS)
def test_every_form_loads_into_a_tt_matrix(tmp_path: Path, name: str) -> None:
    model, other = skeleton(name), converted()
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))
    assert [type(module) for module in other] == [type(module) for module in model]


@pytest.mark.parametrize("name", SKELETONS)
def test_plain_files(tmp_path: Path, name: str) -> None:
    model, other = converted(), skeleton(name)
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))
    assert type(other[0]) is TTMatrixLinear


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    model, other = LanguageModel(), LanguageModel()
    factorize(model, 3, format="tt_matrix")
    save(model, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        stored = set(file.keys())
    assert "embedding.core_0" in stored
    assert "output.core_0" not in stored
    load(other, tmp_path / "net.safetensors")
    assert other.embedding.core_0 is other.output.core_0
    tokens = torch.randint(0, 50, (2, 5))
    assert torch.equal(other(tokens), model(tokens))


def test_the_file_describes_its_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = converted(exclude="2")
    factorize(model, 2)
    save(model, tmp_path / "net.safetensors")
    assert read_layouts(tmp_path / "net.safetensors") == {
        "0": {
            "kind": "Linear",
            "format": "tt_matrix",
            "out_sizes": [4, 3, 3],
            "in_sizes": [4, 3, 2],
            "ranks": [3, 3],
            "shape": [36, 24],
        },
        "2": {"kind": "Linear", "modes": [0, 1], "ranks": [2, 2], "shape": [8, 36]},
    }
    assert main(["inspect", str(tmp_path / "net.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "model with factorised layers" in shown
    assert f"{sum(p.numel() for p in model[0].parts.values()):,}" in shown


@pytest.mark.parametrize(
    "change",
    [
        {"ranks": [3, 4]},
        {"ranks": [3]},
        {"ranks": [0, 3]},
        {"out_sizes": [4, 3]},
        {"out_sizes": [3, 4, 3]},
        {"in_sizes": [4, 3, -2]},
        {"shape": [36, 25]},
        {"format": "tt"},
        {"kind": 3},
        {"out_sizes": [36], "in_sizes": [24], "ranks": []},
        {"out_sizes": "433"},
    ],
)
def test_a_damaged_description_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    model = converted()
    save(model, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        header = json.loads(file.metadata()["rankfold"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    from rankfold._checkpoint._file import write_file

    kept = {key: header[key] for key in ("layers", "aliases")}
    kept["layers"]["0"] |= change
    write_file(tmp_path / "net.safetensors", tensors, kept)
    other = network()
    before = state(other)
    with pytest.raises(CheckpointError, match="its description of layer '0' does not match its tensors"):
        load(other, tmp_path / "net.safetensors")
    assert equal(state(other), before)


def test_a_layer_that_cannot_be_one(tmp_path: Path) -> None:
    class Other(nn.Linear):
        pass

    save(converted(), tmp_path / "net.safetensors")
    model = nn.Sequential(Other(24, 36), nn.ReLU(), nn.Linear(36, 8))
    with pytest.raises(CheckpointError, match=r"is a subclass of nn\.Linear"):
        load(model, tmp_path / "net.safetensors")
    model = nn.Sequential(nn.Linear(24, 35), nn.ReLU(), nn.Linear(35, 8))
    with pytest.raises(CheckpointError, match=r"the weight of '0' is \(36, 24\) in the file and \(35, 24\)"):
        load(model, tmp_path / "net.safetensors")


def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """A network of both forms under TDLRT."""

    def built() -> tuple[nn.Sequential, TDLRT]:
        torch.manual_seed(0)
        model = network()
        factorize(model, 3, include="0", format="tt_matrix", rescale=True)
        factorize(model, 4, rescale=True)
        assert type(model[2]) is Linear
        return model, TDLRT(model, torch.optim.SGD, lr=0.05, momentum=0.9, core_steps=2)

    def train(model: nn.Module, optimizer: TDLRT, steps: range) -> None:
        for step in steps:
            inputs = torch.randn(16, 24, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()

    model, optimizer = built()
    train(model, optimizer, range(4))
    save(model, tmp_path / "run.safetensors", optimizer=optimizer)
    train(model, optimizer, range(4, 9))
    again, other = built()
    load(again, tmp_path / "run.safetensors", optimizer=other)
    train(again, other, range(4, 9))
    assert equal(state(again), state(model))

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.convert.models import LanguageModel
from torch import Tensor, nn

import rankfold
from rankfold import TDLRT, CheckpointError, factorize, load, save
from rankfold._checkpoint import read_layouts
from rankfold.layers import Linear


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 10))


def saved(path: Path, rank: int = 2, modes: object = None) -> nn.Sequential:
    model = network()
    factorize(model, rank, modes=modes)
    save(model, path)
    return model


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("skeleton", ["dense", "same rank", "lower rank", "higher rank"])
@pytest.mark.parametrize("modes", [None, "all"])
def test_round_trip(tmp_path: Path, skeleton: str, modes: object) -> None:
    model = saved(tmp_path / "net.safetensors", 2, modes)
    other = network()
    if skeleton != "dense":
        factorize(other, {"same rank": 2, "lower rank": 1, "higher rank": 3}[skeleton], modes=modes)
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))
    inputs = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(other.eval()(inputs), model.eval()(inputs))


def test_dense_models_too(tmp_path: Path) -> None:
    model, other = network(), network()
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))


@pytest.mark.parametrize("factorised", [False, True])
def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path, factorised: bool) -> None:
    model, other = LanguageModel(), LanguageModel()
    factorize(model, 3)
    if factorised:
        factorize(other, 5)
    save(model, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert "embedding.core" in names
    assert "output.core" not in names
    load(other, tmp_path / "net.safetensors")
    assert other.output.core is other.embedding.core
    assert other.output.factors[0] is other.embedding.factors[0]
    assert equal(state(other), state(model))


def test_views_of_one_buffer(tmp_path: Path) -> None:
    def with_views() -> nn.Module:
        model, buffer = nn.Sequential(nn.Linear(3, 3)), torch.randn(6)
        for name, value in {"whole": buffer, "part": buffer[:2], "turned": torch.randn(2, 3).mT}.items():
            model.register_buffer(name, value)
        return model

    model, other = with_views(), with_views()
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))


def test_header_says_ranks(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["rankfold"])
    assert header == {
        "version": "rankfold-2",
        "versions": {"rankfold": rankfold.__version__, "torch": torch.__version__},
        "layers": {
            "0": {"kind": "Conv2d", "modes": [0, 1], "ranks": [2, 2, 3, 3], "shape": [8, 3, 3, 3]},
            "3": {"kind": "Linear", "modes": [0, 1], "ranks": [2, 2], "shape": [10, 32]},
        },
        "aliases": {},
    }
    assert read_layouts(tmp_path / "net.safetensors") == header["layers"]


def wider() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 11))


def longer() -> nn.Module:
    return network().append(nn.Linear(10, 2))


def without_bias() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 10))


def other_kind() -> nn.Module:
    model = network()
    model[3] = nn.Bilinear(1, 1, 1)
    model[3].weight = nn.Parameter(torch.zeros(10, 32))
    model[3].bias = nn.Parameter(torch.zeros(10))
    return model


@pytest.mark.parametrize(
    "make",
    [
        wider,
        longer,
        without_bias,
        other_kind,
        nn.Sequential,
        LanguageModel,
    ],
)
def test_another_model_stays_as_it_was(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    saved(tmp_path / "net.safetensors")
    model = make()
    before, modules = state(model), list(model.modules())
    with pytest.raises(CheckpointError, match=r"net\.safetensors"):
        load(model, tmp_path / "net.safetensors")
    assert equal(state(model), before)
    assert list(model.modules()) == modules


@pytest.mark.parametrize("stored", [None, (0,), (1,), (0, 1), "all"])
@pytest.mark.parametrize("built", [None, (0,), (1,), (0, 1), "all"])
def test_the_model_becomes_the_one_that_was_saved(tmp_path: Path, stored: object, built: object) -> None:
    """Dense or factorised along whatever modes, layer by layer."""
    model, other = network(), network()
    for each, modes in ((model, stored), (other, built)):
        if modes is not None:
            factorize(each, 2, modes=modes, exclude="3" if modes == (0,) else None)
    calls = []
    other[0].register_forward_hook(lambda *_: calls.append(1))
    other[0].requires_grad_(False)
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert equal(state(other), state(model))
    assert [type(module) for module in other] == [type(module) for module in model]
    assert getattr(other[0], "modes", None) == getattr(model[0], "modes", None)
    assert not any(p.requires_grad for name, p in other[0].named_parameters() if name != "bias")
    assert other[3].bias.requires_grad
    inputs = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(other.eval()(inputs), model.eval()(inputs))
    assert calls


def test_a_dense_tied_file_into_a_factorised_tied_model(tmp_path: Path) -> None:
    model, other = LanguageModel(), LanguageModel()
    factorize(other, 3)
    save(model, tmp_path / "net.safetensors")
    load(other, tmp_path / "net.safetensors")
    assert other.output.weight is other.embedding.weight
    assert equal(state(other), state(model))


def test_a_layer_that_is_the_model(tmp_path: Path) -> None:
    model, other = Linear(8, 6, rank=2), Linear(8, 6, rank=4)
    save(model, tmp_path / "layer.safetensors")
    load(other, tmp_path / "layer.safetensors")
    assert equal(state(other), state(model))
    with pytest.raises(CheckpointError, match="the model itself and cannot be replaced in place"):
        load(nn.Linear(8, 6), tmp_path / "layer.safetensors")


def test_padding_rows_of_the_skeleton_do_not_matter(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(9, 6, padding_idx=0))
    factorize(model, 2)
    save(model, tmp_path / "net.safetensors")
    skeleton = nn.Sequential(nn.Embedding(9, 6, padding_idx=0))
    nn.init.normal_(skeleton[0].weight)
    load(skeleton, tmp_path / "net.safetensors")
    assert equal(state(skeleton), state(model))


@pytest.mark.parametrize("make", [lambda: nn.LazyLinear(3), lambda: nn.Linear(2, 3, device="meta")])
def test_models_without_data(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    save(nn.Linear(2, 3), tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="holds no data yet"):
        load(make(), tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="holds no numbers"):
        save(make(), tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_a_model_saved_in_the_middle_of_a_cycle_comes_back(tmp_path):
    """A 10 x 500 weight of rank 10 is then written with 20 columns on its long side."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 5))
    factorize(model, 5)
    optimizer = TDLRT(model, torch.optim.SGD, lr=0.1)
    model(torch.randn(8, 50)).square().mean().backward()
    optimizer.step()
    assert model[0].ranks == (5, 10)
    save(model, tmp_path / "net.safetensors")
    dense = nn.Sequential(nn.Linear(50, 5))
    load(dense, tmp_path / "net.safetensors")
    assert dense[0].ranks == (5, 10)
    assert torch.equal(dense[0].core, model[0].core)

"""Adapters in files: what comes back, and what is refused."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.adapters.networks import KINDS, disturb, network

from rankfold import CheckpointError, Fraction, OptionError, adapters


@pytest.fixture(params=sorted(KINDS))
def adapter(request):
    return KINDS[request.param]


@pytest.fixture
def x():
    return torch.randn(6, 12, generator=torch.Generator().manual_seed(2))


def test_it_comes_back(adapter, x, tmp_path):
    model = network()
    adapters.attach(model, adapter, include="[024]", also_train="6")
    disturb(model)
    with torch.no_grad():
        model[6].weight += 1
    out = model(x)
    adapters.save_adapter(adapters.merge(model), tmp_path / "a.safetensors")
    fresh = network()
    adapters.load_adapter(fresh, tmp_path / "a.safetensors")
    assert torch.equal(fresh(x), out)
    assert {n for n, p in fresh.named_parameters() if p.requires_grad} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    frozen = {"base.weight", "base.bias"}
    assert not any(name.endswith(tuple(frozen)) for name in load_file(tmp_path / "a.safetensors"))


def test_any_rank_comes_back(x, tmp_path):
    model = network()
    adapters.attach(model, adapters.LowRank(Fraction(0.5)))
    disturb(model)
    adapters.save_adapter(model, tmp_path / "a.safetensors")
    fresh = network()
    adapters.load_adapter(fresh, tmp_path / "a.safetensors")
    assert torch.equal(fresh(x), model(x))
    assert fresh[0].change.layer.ranks == (6, 6)


def test_it_takes_the_place_of_another(adapter, x, tmp_path):
    model = network()
    adapters.attach(model, adapter)
    disturb(model)
    adapters.save_adapter(model, tmp_path / "a.safetensors")
    other = network()
    adapters.attach(other, 2)
    disturb(other)
    adapters.load_adapter(other, tmp_path / "a.safetensors")
    assert torch.equal(other(x), model(x))


def corrupted(tmp_path, change):
    model = network()
    adapters.attach(model, 2)
    disturb(model)
    adapters.save_adapter(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        header = json.loads(file.metadata()["rankfold"])
    tensors = load_file(tmp_path / "a.safetensors")
    change(header, tensors)
    header.pop("versions", None)
    header["version"] = "rankfold-1"  # files of the first format have no digest
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"rankfold": json.dumps(header)})
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize(
    "change",
    [
        lambda header, tensors: header.pop("adapter"),
        lambda header, tensors: header["adapter"].update(kind="magic"),
        lambda header, tensors: header["adapter"].update(settings={"rank": -1}),
        lambda header, tensors: header["adapter"].update(settings={"depth": 1}),
        lambda header, tensors: header["adapter"].update(layers={}),
        lambda header, tensors: header["adapter"].update(layers={"0": [12, 13]}),
        lambda header, tensors: header["adapter"].update(layers={"9": [12, 12]}),
        lambda header, tensors: header["adapter"].update(layers=7),
        lambda header, tensors: header.update(adapter=[]),
        lambda header, tensors: tensors.pop("2.change.layer.core"),
        lambda header, tensors: tensors.update({"2.change.layer.core": torch.zeros(5, 7)}),
        lambda header, tensors: tensors.update(
            {"2.change.layer.factor_0": torch.full((12, 2), float("nan"))}
        ),
        lambda header, tensors: tensors.update({"stranger": torch.zeros(3)}),
    ],
)
@pytest.mark.parametrize("merged", [True, False])
def test_what_does_not_fit_changes_nothing(change, merged, x, tmp_path):
    file = corrupted(tmp_path, change)
    model = network()
    adapters.attach(model, adapters.Rotations(4), include="[02]", also_train="6")
    disturb(model)
    if merged:
        adapters.merge(model)
    out, trained = model(x), {n for n, p in model.named_parameters() if p.requires_grad}
    with pytest.raises(CheckpointError) as caught:
        adapters.load_adapter(model, file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(model(x), out)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trained
    assert model[0].merged is merged


def test_damage_and_absence(tmp_path):
    model = network()
    with pytest.raises(OptionError, match="no adapter"):
        adapters.save_adapter(model, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        adapters.load_adapter(model, tmp_path / "a.safetensors")
    adapters.attach(model, 2)
    adapters.save_adapter(model, tmp_path / "a.safetensors")
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[-3] ^= 4
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="digest"):
        adapters.load_adapter(network(), tmp_path / "b.safetensors")

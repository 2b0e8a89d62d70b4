import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.convert.models import LanguageModel, Reused
from torch import Tensor, nn

from rankfold import densify, factorize, fold
from rankfold.convert import factorized_layers
from rankfold.layers import FactorizedLayer, Linear, SplitAttention
from rankfold.testing import assert_same


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.ConvTranspose2d(16, 12, 3), nn.Flatten(1), nn.Linear(300, 10)
    )


MODELS = {
    "convolutional": (convolutional, lambda: torch.randn(2, 3, 5, 5, dtype=torch.float64)),
    "language": (LanguageModel, lambda: torch.randint(0, 50, (2, 5))),
    "reused": (Reused, lambda: torch.randn(2, 8, dtype=torch.float64)),
}


def is_plain(model: nn.Module) -> bool:
    """Whether only torch's modules are left; attention made of chains is the one exception."""
    own = {type(module) for module in model.modules() if type(module).__module__.startswith("rankfold")}
    return own <= {SplitAttention}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", [1, 4, 1.0])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("transform", [fold, densify])
def test_plain_modules_of_the_same_function(transform, name: str, rank: float, training: bool) -> None:
    make, inputs = MODELS[name]
    model, given = make().double().train(training), inputs()
    count = sum(parameter.numel() for parameter in model.parameters())
    factorize(model, rank)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = model(given)
    plain = transform(model)
    assert is_plain(plain)
    assert plain.training is training
    assert_same(plain(given), expected, terms=4000)
    assert sum(parameter.numel() for parameter in plain.parameters()) <= count
    assert any(isinstance(module, FactorizedLayer) for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert_same(model(given), expected, terms=1)


def test_low_rank_saves_parameters() -> None:
    model = convolutional()
    count = sum(parameter.numel() for parameter in model.parameters())
    factorize(model, 2)
    folded = fold(model)
    assert sum(parameter.numel() for parameter in folded.parameters()) < count / 4
    assert isinstance(folded[4], nn.Sequential)


def test_shared_weights_stay_shared() -> None:
    model = LanguageModel()
    factorize(model, 4)
    plain = densify(model)
    assert plain.output.weight is plain.embedding.weight
    reused = Reused()
    factorize(reused, 2)
    for plain in (fold(reused), densify(reused)):
        assert plain.first is plain.again
        first, tied = (list(module.parameters()) for module in (plain.first, plain.tied))
        assert [p is q for p, q in zip(first, tied, strict=True) if p.ndim == 2] == [True] * (len(first) - 1)


def test_tied_chains_share_what_is_equal() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(500, 40), "output": nn.Linear(40, 500)})
    model["output"].weight = model["embedding"].weight
    factorize(model, 4)
    folded = fold(model)
    assert folded["embedding"][0].weight is folded["output"][1].weight
    assert sum(parameter.numel() for parameter in folded.parameters()) == 500 * 4 + 2 * 4 * 40 + 500


def test_tied_chains_that_cost_more_than_dense_layers_become_dense() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(50, 16), "output": nn.Linear(16, 50, bias=False)})
    model["output"].weight = model["embedding"].weight
    factorize(model, 12)  # a chain of 50 x 12 + 12 x 16 saves by itself, the pair of them does not
    folded = fold(model)
    assert type(folded["output"]) is nn.Linear
    assert folded["output"].weight is folded["embedding"].weight


def test_a_layer_by_itself() -> None:
    layer = Linear(20, 20, rank=2, dtype=torch.float64)
    inputs = torch.randn(2, 20, dtype=torch.float64)
    assert [type(module) for module in fold(layer)] == [nn.Linear, nn.Linear]
    assert type(densify(layer)) is nn.Linear
    assert_same(fold(layer)(inputs), layer(inputs), terms=44)
    assert fold(layer)[1].bias is not layer.bias


def test_hooks_stay_on_folded_layers() -> None:
    model = nn.Sequential(nn.Linear(20, 20))
    factorize(model, 2)
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    inputs = torch.ones(1, 20)
    for plain in (fold(model), densify(model)):
        assert_same(plain(inputs), model(inputs), terms=100)


def test_factorised_layers_by_name() -> None:
    model = LanguageModel()
    factorize(model, 4)
    names = [name for name, _ in factorized_layers(model)]
    projections = [f"encoder.self_attn.{part}_proj" for part in ("q", "k", "v", "out")]
    assert names == ["embedding", *projections, "encoder.linear1", "encoder.linear2"]


def test_folded_model_needs_no_rankfold(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4))
    factorize(model, 3)
    folded = fold(model)
    inputs = torch.linspace(-1, 1, 80).reshape(2, 40)
    torch.save(folded, tmp_path / "folded.pt")
    save_file({"inputs": inputs, "outputs": model(inputs).detach()}, tmp_path / "expected.safetensors")
    script = """
import sys, torch
from safetensors.torch import load_file
model = torch.load(sys.argv[1], weights_only=False)
expected = load_file(sys.argv[2])
torch.testing.assert_close(model(expected["inputs"]), expected["outputs"])
assert not any(name.split(".")[0] == "rankfold" for name in sys.modules)
print("the same")
"""
    arguments = [str(tmp_path / name) for name in ("folded.pt", "expected.safetensors")]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.stdout.strip() == "the same", done.stderr


def test_padding_row_stays_zero() -> None:
    model = nn.Sequential(nn.Embedding(60, 16, padding_idx=1))
    with torch.no_grad():
        model[0].weight[1] = 0
    factorize(model, 2)

    def looked_up(module: nn.Module) -> Tensor:
        return module(torch.arange(5))

    assert_same(looked_up(fold(model)), looked_up(model), terms=80)
    assert not looked_up(fold(model))[1].any()

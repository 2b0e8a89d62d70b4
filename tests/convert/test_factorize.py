from typing import Any

import pytest
import torch
from tests.convert.models import LanguageModel, Reused
from torch import nn

from rankfold import NonFiniteError, OptionError, factorize
from rankfold.layers import Embedding, FactorizedLayer, Linear
from rankfold.testing import assert_same


def test_full_rank_changes_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(200, 10)).double()
    inputs = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = model(inputs)
    factorize(model, 1.0)
    assert_same(model(inputs), expected, terms=300)


@pytest.mark.parametrize(
    ("modes", "ranks"),
    [(None, (2, 2, 3, 3)), ("all", (2, 2, 2, 2)), ((2, 3), (6, 4, 2, 2)), ((0,), (2, 4, 3, 3))],
)
def test_modes_of_convolutions(modes: Any, ranks: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Linear(9, 9))
    conversion = factorize(model, 2, modes=modes)
    assert [row.ranks for row in conversion] == [ranks, (2, 2)]


def test_everything_else_of_a_layer_is_kept() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)).double()
    model[0].weight.requires_grad_(False)
    model[1].bias.requires_grad_(False)
    model[2].eval()
    biases = [layer.bias for layer in model]
    factorize(model, 2)
    assert all(layer.bias is bias for layer, bias in zip(model, biases, strict=True))
    assert [layer.core.requires_grad for layer in model] == [False, True, True]
    assert [layer.factors[0].requires_grad for layer in model] == [False, True, True]
    assert [layer.bias.requires_grad for layer in model] == [True, False, True]
    assert [layer.training for layer in model] == [True, True, False]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_hooks_are_kept() -> None:
    model, calls = nn.Sequential(nn.Linear(6, 6)), []
    model[0].register_forward_pre_hook(lambda module, args: calls.append("before"))
    handle = model[0].register_forward_hook(lambda module, args, output: calls.append("after"))
    model[0].register_forward_hook(
        lambda module, args, kwargs, output: calls.append("keywords"), with_kwargs=True
    )
    model[0].register_full_backward_hook(lambda module, inputs, outputs: calls.append("backward"))
    model[0].register_full_backward_pre_hook(lambda module, outputs: calls.append("before backward"))
    factorize(model, 2)
    inputs = torch.ones(1, 6, requires_grad=True)
    model(inputs).sum().backward()
    assert calls == ["before", "after", "keywords", "before backward", "backward"]
    handle.remove()
    calls.clear()
    model(inputs)
    assert calls == ["before", "keywords"]


def test_reused_and_tied_layers_stay_so() -> None:
    model = Reused().double()
    inputs = torch.randn(3, 8, dtype=torch.float64)
    expected = model(inputs)
    conversion = factorize(model, 1.0)
    assert [row.name for row in conversion.converted] == ["first", "tied"]
    assert model.again is model.first
    assert isinstance(model.tied, Linear)
    assert model.tied.core is model.first.core
    assert all(model.tied.factors[mode] is model.first.factors[mode] for mode in (0, 1))
    assert model.tied.bias is not model.first.bias
    assert len(list(model.parameters())) == 5
    assert_same(model(inputs), expected, terms=200)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", [4, 1.0])
def test_transformer_with_tied_embedding(training: bool, rank: float) -> None:
    model = LanguageModel().double().train(training)
    tokens = torch.randint(0, 50, (3, 7))
    expected = model(tokens)
    conversion = factorize(model, rank, example_inputs=tokens)
    assert conversion.skipped == ()
    assert isinstance(model.embedding, Embedding)
    assert isinstance(model.encoder.self_attn.k_proj, Linear)
    assert model.output.core is model.embedding.core
    assert model.training is model.encoder.training is training
    assert conversion.parity_error is not None
    if rank == 1.0:
        assert_same(model(tokens), expected, terms=50 * 16 * 4)
    with torch.no_grad():  # in eval mode torch takes its fused path, which reads weights itself
        assert_same(model.eval()(tokens), model.train()(tokens), terms=50 * 16 * 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite(value: float) -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    with torch.no_grad():
        model[1].weight[2, 3] = value
    before = list(model)
    with pytest.raises(NonFiniteError, match="layer '1'"):
        factorize(model, 2)
    assert list(model) == before


@pytest.mark.parametrize("rank", [0, 1.5, "half"])
def test_a_rank_that_is_none(rank: Any) -> None:
    model = nn.Sequential(nn.Linear(6, 6))
    with pytest.raises(OptionError):
        factorize(model, rank)
    assert type(model[0]) is nn.Linear


def test_rescaling_keeps_norms() -> None:
    model = nn.Sequential(nn.Linear(30, 30), nn.Conv2d(8, 8, 3))
    norms = [torch.linalg.vector_norm(layer.weight) for layer in model]
    factorize(model, 1, rescale=True)
    for layer, norm in zip(model, norms, strict=True):
        assert isinstance(layer, FactorizedLayer)
        assert_same(layer.tucker.norm(), norm, terms=60)


def test_a_model_without_layers() -> None:
    conversion = factorize(nn.Sequential(nn.ReLU()), example_inputs=torch.ones(2))
    assert len(conversion) == 0
    assert conversion.parity_error == conversion.output_change == 0
    assert conversion.compression == 0

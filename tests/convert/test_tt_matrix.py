"""Linear layers and embeddings over TT-matrices: conversion, parity, and the way back."""

import copy
from typing import Any

import pytest
import torch
from tests.convert.models import LanguageModel, Reused, Unusual
from torch import Tensor, nn

from rankfold import (
    Budget,
    ConversionError,
    Energy,
    Fraction,
    Latency,
    NonFiniteError,
    OptionError,
    Tolerance,
    TTMatrix,
    densify,
    factorize,
    fold,
)
from rankfold.convert import FORMATS, convertible
from rankfold.layers import TTMatrixEmbedding, TTMatrixLayer, TTMatrixLinear
from rankfold.testing import assert_same


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 48, bias=False), nn.ReLU(), nn.Linear(48, 10)
    )


def test_full_bonds_change_nothing() -> None:
    model, inputs = mlp().double(), torch.randn(7, 32, dtype=torch.float64)
    expected, parameters = model(inputs), model.state_dict()
    conversion = factorize(model, Fraction(1.0), format="tt_matrix", example_inputs=inputs)
    assert [row.ranks for row in conversion] == [(16, 8), (16, 12), (20, 3)]
    assert all(type(model[k]) is TTMatrixLinear for k in (0, 2, 4))
    assert_same(model(inputs), expected, terms=1000)
    assert conversion.parity_error is not None
    assert conversion.parity_error < 1e-13
    assert conversion.output_change is not None
    assert conversion.output_change < 1e-13
    for way_back in (fold, densify):
        plain = way_back(model)
        assert [type(module) for module in plain] == [type(module) for module in mlp()]
        assert {name: p.shape for name, p in plain.state_dict().items()} == {
            name: p.shape for name, p in parameters.items()
        }
        for name, parameter in plain.named_parameters():
            assert_same(parameter, parameters[name], terms=100)
        assert_same(plain(inputs), expected, terms=1000)


class Partly(nn.Module):
    """Has a layer that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.used(inputs)


def test_the_table_tells_sizes_and_costs() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Conv2d(4, 4, 3), nn.Linear(7, 5), nn.Linear(64, 64))
    conversion = factorize(model, 16, format="tt_matrix", exclude="3")
    first, second, third, fourth = conversion
    assert (first.shape, first.ranks, first.parameters_before, first.parameters_after) == (
        (64, 64),
        (16, 16),
        4096,
        2 * 256 + 16 * 16 * 16,
    )
    assert first.note == model[0].note
    assert "no faster than dense" in str(first.note)
    assert str(first.note) in str(conversion)
    assert second.reason == "this format has no layer for Conv2d"
    assert third.reason is not None
    assert third.reason.startswith("neither its rows nor its columns split")
    assert fourth.reason == "excluded"
    (row,) = factorize(nn.Sequential(nn.Linear(64, 64)), 2, format="tt_matrix")
    assert (
        row.note
        == "its contraction takes 0.50x the multiplications of the dense layer, which saves memory rather than time"
    )


@pytest.mark.parametrize("cores", [2, 3, 4])
@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (3, lambda full: tuple(min(3, b) for b in full)),
        (0.5, lambda full: tuple(max(1, round(b / 2)) for b in full)),
    ],
)
def test_ranks_from_shapes(cores: int, rank: Any, expected: Any) -> None:
    from rankfold.formats import full_bonds, plan_modes

    model = nn.Sequential(nn.Linear(24, 60))
    (row,) = factorize(model, rank, format="tt_matrix", cores=cores)
    assert row.ranks == expected(full_bonds(plan_modes(60, cores), plan_modes(24, cores)))


def test_ranks_from_a_tolerance() -> None:
    factor, exact = torch.randn(4, 3, dtype=torch.float64), nn.Linear(27, 64, dtype=torch.float64)
    with torch.no_grad():
        exact.weight.copy_(torch.kron(torch.kron(factor, factor), factor))
    noise = nn.Linear(27, 64, dtype=torch.float64)
    model, weight = nn.Sequential(exact, nn.Linear(64, 27), noise), exact.weight.detach().clone()
    rows = list(factorize(model, Tolerance(0.01), format="tt_matrix"))
    assert rows[0].ranks == (1, 1)
    assert_same(model[0].weight, weight, terms=100)
    assert [row.reason for row in rows[1:]] == [
        "kept dense: at this tolerance a TT-matrix saves no parameters"
    ] * 2
    rough = nn.Sequential(nn.Linear(64, 64))
    before = rough[0].weight.detach().clone()
    factorize(rough, Tolerance(0.9), format="tt_matrix")
    assert torch.linalg.vector_norm(rough[0].weight - before) <= 0.9 * torch.linalg.vector_norm(before)


def test_ranks_from_measured_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not faster stays dense; times are invented here, so that the test does not depend on the machine's."""
    from rankfold.convert import Timings, _timing

    asked = []

    def invented(modules: Any, calls: Any, *, training: bool = False) -> Timings:
        layer = modules[1]
        asked.append((layer.ranks, training, [call.times for call in calls]))
        return Timings(((1.0,), (0.2 * max(layer.ranks),)))

    monkeypatch.setattr(_timing, "time_layers", invented)
    model, inputs = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 60)), torch.randn(3, 64)
    first = model[0].bias.detach().clone()
    rows = list(factorize(model, Latency(example_inputs=inputs), format="tt_matrix"))
    assert [row.ranks for row in rows] == [(4, 4), (4, 4)]
    assert torch.equal(model[0].bias, first)
    assert {ranks for ranks, _, _ in asked} >= {(4, 4), (8, 8)}
    model = nn.Sequential(nn.Linear(64, 64))
    (row,) = factorize(model, Latency(example_inputs=inputs, speedup=6, training=True), format="tt_matrix")
    assert row.reason == "kept dense: at bonds of 1 it takes 0.20x the dense time, where 0.17x was asked for"
    assert asked[-1][1]
    rows = list(factorize(Partly(), Latency(example_inputs=inputs), format="tt_matrix"))
    assert rows[1].reason == "kept dense: the example inputs never reach it"


def test_layers_can_be_timed() -> None:
    model, inputs = nn.Sequential(nn.Linear(64, 64)), torch.randn(3, 64)
    (row,) = factorize(model, Latency(example_inputs=inputs, speedup=1e9), format="tt_matrix")
    assert row.reason is not None
    assert row.reason.startswith("kept dense: at bonds of 1 it takes ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "cp"}, "layer format: got 'cp', known are tt_matrix, tucker"),
        ({"format": "tt_matrix", "modes": "all"}, "got modes 'all' for format 'tt_matrix'"),
        ({"cores": 3}, "got 3 cores for format 'tucker'"),
        ({"format": "tt_matrix", "cores": 1}, "cores must be a whole number of 2 or more, got 1"),
        ({"format": "tt_matrix", "cores": "3"}, "cores must be a whole number of 2 or more, got '3'"),
        ({"format": "tt_matrix", "rank": Energy(0.9)}, "Energy gives ranks of modes"),
        ({"format": "tt_matrix", "rank": Budget(params=0.5)}, "Budget gives ranks of modes"),
        ({"format": "tt_matrix", "rank": lambda shape, modes: (2, 2)}, "gives ranks of modes"),
        ({"format": "tt_matrix", "rank": 1.5}, r"share must lie in \(0, 1\]"),
    ],
)
def test_options_that_do_not_fit(options: Any, message: str) -> None:
    model = mlp()
    with pytest.raises(OptionError, match=message):
        factorize(model, **options)
    assert [type(module) for module in model] == [type(module) for module in mlp()]


def test_a_weight_that_is_not_finite_changes_nothing() -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight[1, 1] = float("inf")
    with pytest.raises(NonFiniteError, match="layer '2': its weight holds NaN or infinity"):
        factorize(model, 2, format="tt_matrix")
    assert type(model[0]) is nn.Linear


def test_a_failed_check_restores_the_model() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(inputs) if "weight" in dict(self.layer.named_parameters()) else inputs

    model = Reader()
    layer = model.layer
    with pytest.raises(ConversionError, match="differs from its dense reconstruction"):
        factorize(model, 2, format="tt_matrix", example_inputs=torch.randn(2, 8))
    assert model.layer is layer


def test_what_cannot_be_converted_is_left_alone() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of lazy modules and of empty weights
        model = Unusual()
    before = dict(model.named_modules())
    conversion = factorize(model, 2, format="tt_matrix", exclude="excluded")
    assert [row.name for row in conversion.converted] == ["plain"]
    reasons = {row.name: str(row.reason) for row in conversion.skipped}
    assert reasons["padding"].startswith("a padding row: in a TT-matrix")
    assert reasons["sparse"].startswith("sparse gradients: every core")
    assert reasons["depthwise"] == "this format has no layer for Conv1d"
    assert all(model.get_submodule(name) is before[name] for name in reasons)


def test_tied_weights_stay_tied() -> None:
    model, tokens = LanguageModel().double().eval(), torch.randint(0, 50, (2, 5))
    expected = model(tokens)
    conversion = factorize(model, Fraction(1.0), format="tt_matrix", cores=2, example_inputs=tokens)
    assert type(model.embedding) is TTMatrixEmbedding
    assert type(model.output) is TTMatrixLinear
    assert model.embedding.core_0 is model.output.core_0
    assert {type(module).__name__ for module in model.modules()} >= {"SplitAttention"}
    assert all(row.reason is None for row in conversion)
    assert_same(model(tokens), expected, terms=4000)
    dense = densify(model)
    assert dense.embedding.weight is dense.output.weight
    assert type(dense.encoder.self_attn) is nn.MultiheadAttention
    assert_same(dense(tokens), expected, terms=4000)
    folded = fold(model, example_inputs=tokens)
    assert folded.embedding.weight is folded.output.weight
    assert_same(folded(tokens), expected, terms=4000)


def test_a_reused_layer_is_converted_once() -> None:
    model, inputs = Reused().double(), torch.randn(3, 8, dtype=torch.float64)
    expected = model(inputs)
    factorize(model, 1.0, format="tt_matrix", example_inputs=inputs)
    assert model.first is model.again
    assert model.tied.core_1 is model.first.core_1  # pyright: ignore
    assert_same(model(inputs), expected, terms=400)


def test_rescaled_conversion_keeps_the_norms() -> None:
    model = mlp()
    norms = [torch.linalg.vector_norm(model[k].weight) for k in (0, 2, 4)]
    factorize(model, 1, format="tt_matrix", rescale=True)
    for k, norm in zip((0, 2, 4), norms, strict=True):
        assert isinstance(model[k].value, TTMatrix)
        assert_same(model[k].value.norm(), norm.detach(), terms=100)


def test_both_formats_in_one_model() -> None:
    model, inputs = mlp(), torch.randn(3, 32)
    factorize(model, 4, include="0", format="tt_matrix")
    factorize(model, 4)
    assert [type(model[k]).__name__ for k in (0, 2, 4)] == ["TTMatrixLinear", "Linear", "Linear"]
    expected = model(inputs)
    for plain in (densify(model), fold(model), fold(model, example_inputs=inputs)):
        assert not any(isinstance(module, TTMatrixLayer) for module in plain.modules())
        assert_same(plain(inputs), expected, terms=4000)


def test_trains_with_any_optimiser() -> None:
    torch.manual_seed(0)
    model, inputs = mlp(), torch.randn(64, 32)
    factorize(model, 4, format="tt_matrix", rescale=True)
    targets = copy.deepcopy(mlp())(inputs).detach()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_every_format_of_layers_says_what_it_is() -> None:
    assert set(FORMATS) == {"tucker", "tt_matrix"}
    for entry in FORMATS.values():
        assert entry.summary
        assert entry.source
        for rule in entry.rules.values():
            assert rule.layer.dense_class is (rule.dense or nn.Linear)
    (candidate,) = convertible(nn.Sequential(nn.Linear(8, 8)), rules=FORMATS["tt_matrix"].rules)
    assert candidate.rule.layer is TTMatrixLinear

"""The projections of ``nn.MultiheadAttention`` are converted like any linear layer."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.convert.models import LanguageModel
from torch import Tensor, nn
from torch.nn.utils import prune

from rankfold import TDLRT, Fraction, Latency, densify, factorize, fold
from rankfold.convert import _exchange, factorized_layers
from rankfold.layers import Linear, SplitAttention
from rankfold.testing import assert_same


class Model(nn.Module):
    """Attention under two names, called with a padding mask."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64, **options)
        self.again = self.attention
        self.head = nn.Linear(8, 8, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        padding = torch.zeros(inputs.shape[:2], dtype=torch.bool)
        padding[:, -1] = True
        hidden = self.attention(inputs, inputs, inputs, key_padding_mask=padding)[0]
        return self.head(self.again(hidden, hidden, hidden, need_weights=False)[0])


INPUTS = torch.linspace(-1, 1, 80, dtype=torch.float64).reshape(2, 5, 8).sin()
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def test_there_and_back() -> None:
    model = Model(add_bias_kv=True)
    before = model.attention
    state = {key: value.clone() for key, value in model.state_dict().items()}
    conversion = factorize(model, 2, example_inputs=INPUTS)
    assert [row.name for row in conversion.converted] == [
        *(f"attention.{name}" for name in PROJECTIONS),
        "head",
    ]
    split = model.attention
    assert isinstance(split, SplitAttention)
    assert model.again is split
    assert all(isinstance(part, Linear) and part.ranks == (2, 2) for part in split.projections)
    assert split.bias_k is before.bias_k
    assert split.out_proj.bias is before.out_proj.bias
    dense = densify(model)
    assert type(dense.attention) is nn.MultiheadAttention
    assert dense.again is dense.attention
    assert dense.state_dict().keys() == state.keys()
    folded = fold(model)
    assert isinstance(folded.attention, SplitAttention)
    assert isinstance(folded.attention.q_proj, nn.Sequential)
    for other in (dense, folded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same(other(INPUTS), model(INPUTS), terms=1000)
    assert all(torch.equal(value, state[f"attention.{key}"]) for key, value in before.state_dict().items())


def test_attention_without_a_converted_projection_is_the_same_object() -> None:
    model = Model()
    before = model.attention
    conversion = factorize(model, 2, exclude=".*_proj")
    assert [row.name for row in conversion.converted] == ["head"]
    assert model.attention is model.again is before


def test_one_projection_alone() -> None:
    model = Model()
    packed, expected = model.attention.in_proj_weight, model(INPUTS)
    factorize(model, Fraction(1.0), include="attention.k_proj")
    split = model.attention
    assert isinstance(split, SplitAttention)
    assert [type(part) for part in split.projections] == [nn.Linear, Linear, nn.Linear, nn.Linear]
    assert torch.equal(split.v_proj.weight, packed[16:])
    # The packed weights can be freed.
    assert split.v_proj.weight.untyped_storage().data_ptr() != packed.untyped_storage().data_ptr()
    assert_same(model(INPUTS), expected, terms=1000)
    assert_same(densify(model)(INPUTS), expected, terms=1000)


def test_fold_joins_attention_where_low_rank_saves_nothing() -> None:
    model = Model()
    factorize(model, Fraction(1.0))
    assert isinstance(model.attention, SplitAttention)
    assert type(fold(model).attention) is nn.MultiheadAttention


def test_a_second_conversion_takes_the_rest() -> None:
    model = Model()
    factorize(model, 2, include="attention.k_proj")
    split = model.attention
    conversion = factorize(model, 3)
    assert [row.name for row in conversion] == [
        *(f"attention.{part}" for part in PROJECTIONS if part != "k_proj"),
        "head",
    ]
    assert model.attention is split
    assert [part.ranks[0] for part in split.projections] == [3, 2, 3, 3]


@pytest.mark.parametrize("moment", ["while it builds", "while it checks"])
def test_a_failure_puts_attention_back(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    before, weight = model.attention, model.attention.in_proj_weight
    if moment == "while it builds":
        with torch.no_grad():
            model.head.weight[0, 0] = float("nan")
    else:
        monkeypatch.setattr(_exchange, "parity_allowed", lambda model, layers: -1.0)
    with pytest.raises(Exception, match="head" if moment == "while it builds" else "parity|differs"):
        factorize(model, 2, example_inputs=INPUTS)
    assert model.attention is model.again is before
    assert before.in_proj_weight is weight
    assert type(model.head) is nn.Linear


def test_hooks_go_along() -> None:
    model, calls = Model(), []
    model.attention.register_forward_hook(lambda module, arguments, result: calls.append(type(module)))
    factorize(model, 2)
    model(INPUTS)
    densify(model)(INPUTS)
    assert calls == [SplitAttention] * 2 + [nn.MultiheadAttention] * 2


def _replaced_forward(attention: nn.MultiheadAttention) -> None:
    attention.forward = lambda *arguments, **options: (arguments[0], None)  # type: ignore[method-assign]


def _masked(attention: nn.MultiheadAttention) -> None:
    attention.register_buffer("mask", torch.ones(3))


def _another_output(attention: nn.MultiheadAttention) -> None:
    attention.out_proj = torch.nn.utils.parametrizations.weight_norm(attention.out_proj)


def _pruned(attention: nn.MultiheadAttention) -> None:
    prune.l1_unstructured(attention, "in_proj_weight", 0.3)


def _output_hook(attention: nn.MultiheadAttention) -> None:
    attention.out_proj.register_forward_hook(lambda module, arguments, output: 2 * output)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_replaced_forward, "a forward was replaced"),
        (_masked, "'mask'"),
        (_another_output, "of class Parametrized"),
        (_pruned, "'in_proj_weight_"),
        (_output_hook, "hooks, which it never calls"),
    ],
)
def test_attention_that_computes_something_else(
    change: Callable[[nn.MultiheadAttention], None], words: str
) -> None:
    model = Model()
    change(model.attention)
    before = model.attention
    (row, _) = factorize(model, 2)
    assert row.name == "attention.out_proj"
    assert words in str(row.reason)
    assert model.attention is before


def test_models_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = Model().eval()
        expected = model(INPUTS)
        factorize(model, Fraction(1.0), include="attention.k_proj")
        assert_same(model(INPUTS), expected, terms=1000)


def test_packed_weights_that_are_shared() -> None:
    model = nn.ModuleList([nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2)])
    model[1].in_proj_weight = model[0].in_proj_weight
    before = list(model)
    conversion = factorize(model, 2)
    assert [row.name for row in conversion.skipped] == ["0.out_proj", "1.out_proj"]
    assert all("shares its packed weights" in str(row.reason) for row in conversion)
    assert list(model) == before


def test_attention_that_is_the_model() -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    (row,) = factorize(model, 2)
    assert "is the model itself" in str(row.reason)
    split = SplitAttention(model)
    factorize(split, 2)
    assert isinstance(split.q_proj, Linear)
    assert type(densify(split)) is nn.MultiheadAttention


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("rank", [2, 1.0])
def test_transformers(rank: float, norm_first: bool) -> None:
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first, "dtype": torch.float64}
    model = nn.Transformer(16, 2, 2, 2, 32, **options)
    source, target = torch.randn(3, 6, 16).double(), torch.randn(3, 5, 16).double()
    later = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)

    def run(module: nn.Module) -> Tensor:
        return module(source, target, tgt_mask=later, tgt_is_causal=True)

    expected = run(model)
    assert factorize(model, rank).skipped == ()
    if isinstance(rank, float):
        assert_same(run(model), expected, terms=10_000)
    dense = densify(model)
    for module in (model, dense, fold(model)):
        for training in (True, False):
            module.train(training)
            for grad in (
                True,
                False,
            ):  # in evaluation without gradients torch takes its fused kernel, where it can
                with torch.set_grad_enabled(grad):
                    assert_same(run(module), run(dense), terms=10_000)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("include", [None, r"layers\.1\.self_attn.*", ".*linear."])
def test_encoders_that_nest_padded_batches(include: str | None) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 64, dropout=0.0, batch_first=True, dtype=torch.float64)
    model, inputs = nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 4, 16).double()
    padding = torch.tensor([[False] * 4, [False, False, True, True]])
    with torch.no_grad():
        expected = model(inputs, src_key_padding_mask=padding)
        factorize(model, 1.0, include=include)
        # Torch does not nest where layers must be called; what it pads with zeros then is another number.
        assert not model.use_nested_tensor
        for module in (model, fold(model), densify(model)):
            actual = module(inputs, src_key_padding_mask=padding)
            assert_same(actual[~padding], expected[~padding], terms=10_000)
    assert densify(model).use_nested_tensor


def test_folded_encoders_are_chains_throughout() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 64, dropout=0.0, batch_first=True)
    model, inputs = nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 4, 16)
    factorize(model, 1)
    folded = fold(model)
    for part in (folded.layers[0].linear1, folded.layers[0].self_attn.out_proj):
        assert isinstance(part, nn.Sequential)
    padding = torch.tensor([[False] * 4, [False, False, True, True]])
    with torch.no_grad():
        assert_same(
            folded(inputs, src_key_padding_mask=padding),
            model(inputs, src_key_padding_mask=padding),
            terms=1000,
        )


def test_latency_leaves_attention_to_the_fused_kernel(clock) -> None:
    model, tokens = LanguageModel(), torch.arange(6).reshape(2, 3)
    clock.cost = lambda module: 1.0 if type(module) is nn.Linear else 0.5
    attention = model.encoder.self_attn
    conversion = factorize(model, Latency(example_inputs=tokens, quantum=4))
    reasons = {row.name: row.reason for row in conversion}
    assert "its parent reads its weight" in str(reasons["encoder.self_attn.q_proj"])
    assert model.encoder.self_attn is attention
    trained = factorize(model, Latency(example_inputs=tokens, quantum=4, training=True))
    assert "encoder.self_attn.q_proj" in [row.name for row in trained.converted]


@pytest.mark.parametrize("training", [True, False])
def test_compiled_encoders(training: bool) -> None:
    model, tokens = LanguageModel().double().train(training), torch.arange(6).reshape(2, 3)
    factorize(model, 2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert_same(compiled(tokens), model(tokens), terms=1000)


def test_ranks_of_projections_adapt_in_training() -> None:
    model, tokens = LanguageModel(), torch.arange(12).reshape(3, 4)
    factorize(model, 4)
    optimizer = TDLRT(model, torch.optim.SGD, lr=0.1, tolerance=0.3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    ranks = {name: layer.ranks for name, layer in factorized_layers(model) if "proj" in name}
    assert len(ranks) == 4
    assert any(rank != (4, 4) for rank in ranks.values())
    assert all(layer.tucker.orthonormality_defect() < 1e-5 for _, layer in factorized_layers(model))

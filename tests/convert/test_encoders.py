"""Encoder layers of torch whose feed-forward layers are factorised, in every way that torch runs them."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import rankfold as rf
from rankfold import Budget, Fraction, Latency, compress, densify, factorize, fold
from rankfold.convert import _exchange
from rankfold.layers import FactorizedLayer, SplitAttention
from rankfold.testing import assert_same

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")

RANK = 2
FEED_FORWARD = r".*linear[12]"
PADDING = torch.tensor([[False] * 4, [False, False, True, True], [False] * 3 + [True]])
LATER = torch.ones(4, 4, dtype=torch.bool).triu(1)
MASKS: list[dict[str, Tensor]] = [
    {},
    {"src_key_padding_mask": PADDING},
    {"src_key_padding_mask": PADDING.flip(1)},
    {"mask": LATER},
    {"mask": LATER, "src_key_padding_mask": PADDING},
]


def encoder(*, full_rank: bool = False, **options: Any) -> nn.TransformerEncoder:
    """One whose feed-forward weights have rank 2, so that low rank changes nothing; or any weights."""
    options = {"batch_first": True, "dtype": torch.float64, **options}
    layer = nn.TransformerEncoderLayer(16, 2, 64, dropout=0.0, **options)
    nests = options["batch_first"] and not options.get("norm_first", False)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nests).eval()
    generator = torch.Generator().manual_seed(1)
    if full_rank:
        return model
    with torch.no_grad():
        for linear in (part for layer in model.layers for part in (layer.linear1, layer.linear2)):
            left, right = (
                torch.randn(size, RANK, generator=generator, dtype=linear.weight.dtype)
                for size in linear.weight.shape
            )
            linear.weight.copy_(left @ right.mT / 8)
    return model


def rows(model: nn.Module, inputs: Tensor, masks: dict[str, Tensor]) -> Tensor:
    """What a model makes of the rows that are not padding, of which torch leaves open what becomes."""
    first = model.layers[0].self_attn.batch_first
    found = model(inputs if first else inputs.transpose(0, 1), **masks)
    return (found if first else found.transpose(0, 1))[~masks.get("src_key_padding_mask", PADDING & False)]


def example() -> Tensor:
    return torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def state_of(model: nn.Module) -> list[dict[str, Any]]:
    """Everything that an encoder and its layers hold beside modules and tensors."""
    kinds = (nn.TransformerEncoder, nn.TransformerEncoderLayer)
    return [
        {key: value for key, value in vars(module).items() if not key.startswith("_")}
        for module in model.modules()
        if isinstance(module, kinds)
    ]


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call of the kernel that reads the weights of a whole layer."""
    calls, kernel = [], torch._transformer_encoder_layer_fwd

    def count(*arguments: Any) -> Tensor:
        calls.append(1)
        return kernel(*arguments)

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", count)
    return calls


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize(
    "options",
    [{}, {"norm_first": True}, {"activation": "gelu"}, {"batch_first": False}, {"bias": False}],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_the_same_function(options: dict[str, Any], context: Callable[[], Any]) -> None:
    original = encoder(**options)
    model, inputs = copy.deepcopy(original), example()
    factorize(model, RANK, include=FEED_FORWARD)
    folded = fold(model)
    others = (model, folded, copy.deepcopy(folded), pickle.loads(pickle.dumps(folded)), densify(model))
    with context():
        for masks in MASKS:
            expected = rows(original, inputs, masks)
            for module in others:
                assert_same(rows(module, inputs, masks), expected, terms=10_000)


def test_folded_layers_are_plain_chains_that_are_called(fused: list[int]) -> None:
    model, inputs = encoder(), example()
    factorize(model, RANK, include=FEED_FORWARD)
    folded = fold(model)
    for layer in folded.layers:
        assert [type(part) for part in (*layer.linear1, *layer.linear2)] == [nn.Linear] * 4
        assert type(layer.self_attn) is nn.MultiheadAttention
    assert not any(type(part).__module__.startswith("rankfold") for part in folded.modules())
    with torch.no_grad():
        for module in (model, folded):
            module(inputs, src_key_padding_mask=PADDING)
        assert not fused
        densify(model)(inputs, src_key_padding_mask=PADDING)
        assert len(fused) == 2


def test_only_layers_with_chains_leave_the_fused_kernel(fused: list[int]) -> None:
    original = encoder()
    model, inputs, masks = copy.deepcopy(original), example(), {"src_key_padding_mask": PADDING}
    factorize(model, RANK, include=r"layers\.1\.linear1")
    with torch.no_grad():
        expected = rows(original, inputs, masks)
        for module in (model, fold(model)):
            fused.clear()
            assert_same(rows(module, inputs, masks), expected, terms=10_000)
            assert len(fused) == 1


def test_gradients() -> None:
    original = encoder().train()
    model, inputs = copy.deepcopy(original), example().requires_grad_()
    factorize(model, RANK, include=FEED_FORWARD)
    (expected,) = torch.autograd.grad(original(inputs).square().sum(), inputs)
    for module in (model, fold(model), densify(model)):
        (found,) = torch.autograd.grad(module(inputs).square().sum(), inputs)
        assert_same(found, expected, terms=100_000)


def test_states_of_folded_encoders() -> None:
    model, inputs = encoder(), example()
    factorize(model, RANK, include=FEED_FORWARD)
    folded = fold(model)
    other = copy.deepcopy(folded)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(folded.state_dict())
    with torch.no_grad():
        assert torch.equal(other(inputs), folded(inputs))


def test_exported_folded_encoders() -> None:
    original = encoder()
    model, inputs = copy.deepcopy(original), example()
    factorize(model, RANK, include=FEED_FORWARD)
    masks = {"src_key_padding_mask": PADDING}
    with torch.no_grad():
        program = torch.export.export(fold(model), (inputs,), masks)
        found = program.module()(inputs, **masks)
        assert_same(found[~PADDING], rows(original, inputs, masks), terms=10_000)


@pytest.mark.parametrize("export", [rf.export_program, rf.export_onnx])
def test_files_of_encoders(export: Callable[..., Any], tmp_path: Path) -> None:
    if export is rf.export_onnx:
        pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    model = encoder(dtype=torch.float32)
    factorize(model, RANK, include=FEED_FORWARD)
    # It compares what the file computes with the dense model.
    record = export(model, (example().float(),), tmp_path / "encoder")
    assert record.relative_difference <= record.tolerance < 1e-4


@pytest.mark.parametrize("include", [None, FEED_FORWARD, ".*self_attn.*"])
def test_torch_decides_again_where_weights_are_plain(include: str | None) -> None:
    model = encoder()
    before = state_of(model)
    factorize(model, RANK, include=include)
    assert state_of(model) != before
    assert state_of(densify(model)) == before
    # Chains that save nothing fold to dense layers.
    model = encoder()
    factorize(model, Fraction(1.0), include=include)
    assert state_of(fold(model)) == before


def test_what_the_user_switched_off_stays_off() -> None:
    model = encoder()
    model.layers[0].activation_relu_or_gelu, model.use_nested_tensor = 0, False
    before = state_of(model)
    factorize(model, RANK)
    assert state_of(densify(model)) == before


def test_a_failure_leaves_encoders_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = encoder()
    before, linear = state_of(model), model.layers[0].linear1
    monkeypatch.setattr(_exchange, "parity_allowed", lambda model, layers: -1.0)
    with pytest.raises(rf.ConversionError, match="differs"):
        factorize(model, RANK, include=FEED_FORWARD, example_inputs=example())
    assert model.layers[0].linear1 is linear
    assert state_of(model) == before


def test_attention_is_joined_beside_chains() -> None:
    original = encoder()
    model, inputs = copy.deepcopy(original), example()
    factorize(model, RANK, include=FEED_FORWARD)
    factorize(model, Fraction(1.0), include=".*proj")
    assert isinstance(model.layers[0].self_attn, SplitAttention)
    folded = fold(model)
    assert type(folded.layers[0].self_attn) is nn.MultiheadAttention
    assert isinstance(folded.layers[0].linear1, nn.Sequential)
    with torch.no_grad():
        assert_same(folded(inputs), original(inputs), terms=10_000)


def test_attention_that_cannot_be_split() -> None:
    class Own(nn.MultiheadAttention):
        pass

    original = encoder()
    for layer in original.layers:
        layer.self_attn.__class__ = Own
    model, inputs = copy.deepcopy(original), example()
    conversion = factorize(model, RANK, include=FEED_FORWARD, example_inputs=inputs)
    assert conversion.output_change is not None
    assert conversion.output_change < 1e-12
    with torch.no_grad():
        for module in (model, fold(model), densify(model)):
            for masks in MASKS:
                assert_same(rows(module, inputs, masks), rows(original, inputs, masks), terms=10_000)


def test_files_of_low_rank_feed_forward_layers(tmp_path: Path) -> None:
    original = encoder()
    model, other, inputs, masks = copy.deepcopy(original), encoder(), example(), MASKS[1]
    before = state_of(other)
    rf.save(original, tmp_path / "dense.safetensors")
    factorize(model, RANK, include=FEED_FORWARD)
    rf.save(model, tmp_path / "low-rank.safetensors")
    rf.load(other, tmp_path / "low-rank.safetensors")
    assert isinstance(other.layers[1].linear2, FactorizedLayer)
    assert state_of(other) == state_of(model)
    with torch.no_grad():
        assert_same(rows(other, inputs, masks), rows(original, inputs, masks), terms=10_000)
    rf.load(other, tmp_path / "dense.safetensors")
    assert state_of(other) == before


@pytest.mark.parametrize("include", [None, FEED_FORWARD])
@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_folded_encoders_keep_to_budgets_of_parameters(share: float, include: str | None) -> None:
    model = encoder(full_rank=True)
    count = size(model)
    factorize(model, Budget(params=share), include=include)
    # All that one rank of the widest matrix is worth may be left over.
    assert share * count - 80 < size(fold(model)) <= share * count


def test_compressed_encoders_keep_to_their_budget() -> None:
    for given in ({}, {"calibration": [example()]}):
        model = encoder(full_rank=True)
        count = size(model)
        compression = compress(model, Budget(params=0.7), include=FEED_FORWARD, fold=True, **given)
        assert isinstance(model.layers[0].linear1, nn.Sequential)
        assert compression.parameters_after == size(model) <= 0.7 * count


def test_budgets_of_multiplications_reach_the_feed_forward_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(module: nn.Module) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(example())
        return counter.get_total_flops()

    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)  # else it counts nothing
    model = encoder(full_rank=True)
    dense = count(model)
    conversion = factorize(model, Budget(flops=0.7, example_inputs=example()), include=FEED_FORWARD)
    assert len(conversion.converted) > 0
    assert not any("its parent reads" in str(row.reason) for row in conversion)
    assert 0.65 * dense < count(fold(model)) <= 0.7 * dense


@pytest.mark.parametrize("policy", [Budget, Latency])
def test_measured_policies_reach_the_feed_forward_layers(policy: Any, clock: Any) -> None:
    clock.cost = lambda module: 1.0 if type(module) is nn.Linear else 0.1
    options = {"latency": 0.2} if policy is Budget else {}
    layer = nn.TransformerEncoderLayer(64, 2, 128, batch_first=True)
    given = torch.randn(2, 3, 64)
    conversion = factorize(layer, policy(example_inputs=given, **options), include="linear.")
    assert [row.name for row in conversion.converted] == ["linear1", "linear2"]

"""Attention with layers of its own for the projections computes what torch's computes."""

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfold import OptionError, ShapeError
from rankfold.layers import Linear, SplitAttention
from rankfold.testing import assert_same

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False, "batch_first": True},
    "own dimensions": {"kdim": 5, "vdim": 7},
    "key and value of bias": {"add_bias_kv": True, "batch_first": True},
    "zero attention": {"add_zero_attn": True},
    "everything": {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "vdim": 7, "batch_first": True},
    "dropout": {"dropout": 0.4, "batch_first": True},
}
QUERIES, KEYS, BATCH, HEADS = 4, 6, 3, 2


def attention(name: str) -> nn.MultiheadAttention:
    made = nn.MultiheadAttention(8, HEADS, **OPTIONS[name], dtype=torch.float64)
    for parameter in made.parameters():
        nn.init.normal_(parameter)  # torch sets biases to zero
    return made


def inputs(made: nn.MultiheadAttention, batched: bool = True) -> tuple[Tensor, ...]:
    sizes = (QUERIES, made.embed_dim), (KEYS, made.kdim), (KEYS, made.vdim)
    given = [torch.randn(BATCH, *size, dtype=torch.float64) for size in sizes]
    if not batched:
        return tuple(tensor[0] for tensor in given)
    return tuple(tensor if made.batch_first else tensor.transpose(0, 1) for tensor in given)


def masks(kind: str) -> dict[str, Any]:
    forbidden = torch.rand(QUERIES, KEYS) < 0.4
    forbidden[:, 2] = False  # a query that may look nowhere has no result
    padding = torch.tensor([[False] * 4 + [True] * 2, [False] * 6, [False] * 3 + [True] * 3])
    numbers = torch.randn(BATCH * HEADS, QUERIES, KEYS, dtype=torch.float64)
    causal = torch.ones(QUERIES, KEYS, dtype=torch.bool).triu(1)
    found: dict[str, dict[str, Any]] = {
        "none": {},
        "booleans": {"attn_mask": forbidden},
        "numbers": {"attn_mask": numbers},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": forbidden, "key_padding_mask": padding},
        "both as numbers": {"attn_mask": numbers, "key_padding_mask": padding.double() * -2},
        "causal": {"attn_mask": causal, "is_causal": True},
        "causal with padding": {"attn_mask": causal, "is_causal": True, "key_padding_mask": padding},
    }
    return found[kind]


MASKS = (
    "none",
    "booleans",
    "numbers",
    "padding",
    "both",
    "both as numbers",
    "causal",
    "causal with padding",
)


def assert_same_results(split: Any, made: Any, given: tuple[Tensor, ...], **options: Any) -> None:
    torch.manual_seed(5)
    expected, expected_weights = made(*given, **options)
    torch.manual_seed(5)  # the same numbers are drawn for dropout
    actual, weights = split(*given, **options)
    assert_same(actual, expected, terms=100)
    assert (weights is None) == (expected_weights is None)
    if weights is not None:
        assert_same(weights, expected_weights, terms=100)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("weights", [None, "averaged", "each head"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", OPTIONS)
def test_results(name: str, training: bool, weights: str | None, mask: str) -> None:
    made = attention(name).train(training)
    split = SplitAttention(made)
    options = {
        "need_weights": weights is not None,
        "average_attn_weights": weights == "averaged",
        **masks(mask),
    }
    for grad in (True, False):  # without gradients torch takes a fused kernel
        with torch.set_grad_enabled(grad):
            assert_same_results(split, made, inputs(made), **options)


@pytest.mark.parametrize("name", [name for name in OPTIONS if "kdim" not in OPTIONS[name]])
def test_attention_of_a_sequence_to_itself(name: str) -> None:
    made = attention(name).eval()
    sequence = inputs(made)[0]
    with torch.no_grad():
        assert_same_results(SplitAttention(made), made, (sequence,) * 3)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("name", OPTIONS)
def test_one_sequence_without_a_batch(name: str, weights: bool) -> None:
    made = attention(name).eval()
    options = {
        "attn_mask": masks("booleans")["attn_mask"],
        "key_padding_mask": masks("padding")["key_padding_mask"][0],
    }
    assert_same_results(
        SplitAttention(made), made, inputs(made, batched=False), need_weights=weights, **options
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients(name: str) -> None:
    made = attention(name).eval()
    split = SplitAttention(made)
    given = tuple(tensor.requires_grad_() for tensor in inputs(made))
    expected = torch.autograd.grad(made(*given)[0].square().sum(), [*given, made.out_proj.weight])
    actual = torch.autograd.grad(split(*given)[0].square().sum(), [*given, split.out_proj.weight])
    for one, other in zip(actual, expected, strict=True):
        assert_same(one, other, terms=1000)


@pytest.mark.parametrize("name", OPTIONS)
def test_there_and_back(name: str) -> None:
    made = attention(name).train(name == "plain")
    made.out_proj.weight.requires_grad_(False)
    split = SplitAttention(made)
    packed = made.in_proj_weight
    if packed is not None:
        assert split.v_proj.weight.data_ptr() == packed[16:].data_ptr()
    split.detach_memory()
    for parameter in split.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.numel() * parameter.element_size()
    back = split.dense()
    assert {key: value.shape for key, value in back.state_dict().items()} == {
        key: value.shape for key, value in made.state_dict().items()
    }
    for key, parameter in made.named_parameters():
        assert torch.equal(back.get_parameter(key), parameter)
        assert back.get_parameter(key).requires_grad == parameter.requires_grad
    assert back.training == made.training
    given = inputs(made)
    assert_same_results(back, made, given)


def test_factorised_projections_are_multiplied_out() -> None:
    made = attention("batch first")
    split = SplitAttention(made)
    split.q_proj = Linear.from_dense(split.q_proj, rank=2)
    split.out_proj = Linear.from_dense(split.out_proj, rank=3)
    assert_same_results(split.dense(), split, inputs(made))


def test_copies() -> None:
    made = attention("everything")
    split = SplitAttention(made)
    for other in (copy.deepcopy(split), pickle.loads(pickle.dumps(split))):
        assert_same_results(other, made, inputs(made))


@pytest.mark.parametrize("weights", [True, False])
def test_compiles_without_graph_breaks(weights: bool) -> None:
    made = attention("batch first").eval()
    split, given = SplitAttention(made), inputs(made)
    compiled = torch.compile(split, fullgraph=True, backend="eager")
    options = {"need_weights": weights, **masks("both")}
    assert_same_results(compiled, made, given, **options)


def test_exports() -> None:
    made = attention("batch first").eval()
    split, given = SplitAttention(made), inputs(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own
        program = torch.export.export(split, given, masks("both"))
    assert_same_results(program.module(), made, given, **masks("both"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("weights", [True, False])
def test_autocast(dtype: torch.dtype, weights: bool) -> None:
    made = attention("everything").float()
    given = tuple(tensor.float() for tensor in inputs(made))
    padding = masks("padding")
    with torch.autocast("cpu", dtype=dtype):
        expected = made(*given, need_weights=weights, **padding)[0]
        actual = SplitAttention(made)(*given, need_weights=weights, **padding)[0]
    assert actual.dtype == expected.dtype
    assert (actual - expected).norm() <= 16 * torch.finfo(dtype).eps * expected.norm()


def test_what_is_refused() -> None:
    made = attention("batch first")
    split, (query, key, value) = SplitAttention(made), inputs(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        nested = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(2, 8)])
    refused: list[tuple[type[Exception], str, tuple[Tensor, ...], dict[str, Any]]] = [
        (ShapeError, "nested", (nested, nested, nested), {}),
        (ShapeError, "all must be batches", (query, key[0], value[0]), {}),
        (ShapeError, "as many values as keys", (query, key, value[:, 1:]), {}),
        (ShapeError, "attn_mask has shape", (query, key, value), {"attn_mask": torch.zeros(1, KEYS)}),
        (ShapeError, "key_padding_mask has", (query, key, value), {"key_padding_mask": torch.zeros(1, KEYS)}),
        (
            ShapeError,
            "holds torch.int64",
            (query, key, value),
            {"attn_mask": torch.ones(QUERIES, KEYS).long()},
        ),
        (OptionError, "pass the mask", (query, key, value), {"is_causal": True}),
    ]
    for error, words, given, options in refused:
        with pytest.raises(error, match=words):
            split(*given, **options)

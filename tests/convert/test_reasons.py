import warnings

import torch
from tests.convert.models import Unusual
from torch import nn
from torch.nn.utils import prune

from rankfold import factorize

REASONS = {
    "subclass": "OwnLinear is a subclass of nn.Linear",
    "attention.out_proj": "cannot be split: OwnAttention is a subclass",
    "parametrised": "computed by a parametrisation",
    "lazy": "not initialised yet",
    "depthwise": "depthwise: each group has one channel",
    "sparse": "sparse gradients",
    "padding": "the padding row is not zero",
    "narrow": "its weight has rank 1",
    "meta": "its weight holds no data",
    "empty": "its weight holds no data",
    "excluded": "excluded",
}


def test_every_reason_to_leave_a_layer_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of lazy modules and of empty weights
        model = Unusual()
    before = dict(model.named_modules())
    conversion = factorize(model, 2, exclude="excluded")
    assert [row.name for row in conversion.converted] == ["plain"]
    found = {row.name: row.reason for row in conversion.skipped}
    assert found.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in str(found[name])
        assert model.get_submodule(name) is before[name]


def test_the_model_itself_cannot_be_replaced() -> None:
    (row,) = factorize(nn.Linear(4, 4), 2)
    assert row.reason is not None
    assert "wrap it in nn.Sequential" in row.reason


def test_a_weight_shared_with_something_else() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Bilinear(2, 2, 4))
    model.register_parameter("copy", model[0].weight)
    (row,) = factorize(model, 2)
    assert row.reason == "shares its weight with copy, which is not converted"


def test_a_weight_shared_with_an_excluded_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    conversion = factorize(model, 2, exclude="1")
    assert [row.reason for row in conversion] == [
        "shares its weight with 1.weight, which is not converted",
        "excluded",
    ]
    assert model[0].weight is model[1].weight


def test_whole_numbers_are_no_weights() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    model[0].weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    (row,) = factorize(model, 2)
    assert row.reason == "weights of dtype torch.int8 are not supported"


def test_layers_that_are_factorised_already_are_not_listed() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    factorize(model, 2)
    layer = model[0]
    assert len(factorize(model, 1)) == 0
    assert model[0] is layer


def test_layers_that_compute_more_than_their_class_are_left_alone() -> None:
    def patched(layer: nn.Linear) -> None:
        layer.forward = lambda input: nn.functional.linear(input, layer.weight) * 100  # type: ignore[method-assign]

    def with_mask(layer: nn.Linear) -> None:
        layer.register_buffer("mask", torch.ones(8, 8))

    def pruned(layer: nn.Linear) -> None:
        prune.l1_unstructured(layer, "bias", 0.3)

    for change, words in (
        (patched, "forward was replaced"),
        (with_mask, "'mask'"),
        (pruned, "bias is computed"),
    ):
        model = nn.Sequential(nn.Linear(8, 8))
        change(model[0])
        (row,) = factorize(model, 4)
        assert row.reason is not None
        assert words in row.reason

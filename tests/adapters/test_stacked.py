"""The stacked adapter is the t-product that it claims to be."""

import pytest
import torch
from tests.adapters.networks import disturb, network
from torch import nn

from rankfold import adapters
from rankfold.decompose import t_product


@pytest.mark.parametrize("transform", ["fft", "dct", "none"])
def test_the_change_of_each_layer_is_a_slice_of_the_product(transform):
    model = network(torch.float64)
    frozen = torch.stack([model[at].weight.detach() for at in (0, 2, 4)], 2)
    attachment = adapters.attach(model, adapters.StackedCUR(3, transform))
    disturb(model)
    core = model[0].change.core
    assert model[2].change.core is core
    assert [row.trainable for row in attachment] == [3 * 3 * 3, 0, 0, 0]
    assert "no other layer" in attachment.layers[3].reason
    change = t_product(t_product(core.left, core.update, transform), core.right, transform)
    assert torch.equal(core.left, frozen[:, core.columns])
    assert torch.equal(core.right, frozen[core.rows])
    for number, at in enumerate((0, 2, 4)):
        expected = frozen[:, :, number] + change[:, :, number]
        torch.testing.assert_close(model[at].weight, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("transform", ["fft", "dct", "none"])
def test_one_number_touches_every_layer_unless_there_is_no_transform(transform):
    model = network(torch.float64)
    frozen = [model[at].weight.clone() for at in (0, 2, 4)]
    adapters.attach(model, adapters.StackedCUR(3, transform))
    with torch.no_grad():
        model[0].change.core.update[0, 0, 0] = 1.0
    moved = [(model[at].weight - one).norm() > 1e-9 for at, one in zip((0, 2, 4), frozen, strict=True)]
    assert moved == [True, transform != "none", transform != "none"]


def test_transposed_weights_and_groups_of_shapes():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    conv1d = transformers.pytorch_utils.Conv1D
    torch.manual_seed(0)
    model = nn.Sequential(
        conv1d(6, 8), conv1d(8, 6), conv1d(6, 8), conv1d(8, 6), nn.Linear(8, 6), nn.Linear(6, 8)
    )
    x = torch.randn(3, 8)
    before = model(x)
    attachment = adapters.attach(model, adapters.StackedCUR(2))
    assert [row.trainable for row in attachment] == [8, 8, 0, 0, 0, 0]
    assert len(attachment.attached) == 4
    torch.testing.assert_close(model(x), before)
    disturb(model)
    out = model(x)
    adapters.merge(model)
    torch.testing.assert_close(model(x), out, rtol=1e-4, atol=1e-5)

"""What a forward makes of a weight before it uses it: any Tucker layer, in any execution, under any transformation."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfold import layers
from rankfold.formats import TTMatrix, Tucker
from rankfold.layers import EXECUTIONS, FactorizedLayer
from rankfold.testing import assert_same


class Halve(nn.Module):
    """Scales the weight by a half in training, and leaves it alone in evaluation."""

    def forward(self, value: Tucker) -> Tucker:
        return Tucker(value.core * 0.5, value.factors) if self.training else value


def cases() -> dict[str, tuple[FactorizedLayer, Tensor]]:
    torch.manual_seed(0)
    kind: dict[str, Any] = {"dtype": torch.float64}
    images = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    return {
        "linear": (layers.Linear(7, 5, rank=3, **kind), torch.randn(4, 7, dtype=torch.float64)),
        "transposed linear": (
            layers.TransposedLinear(7, 5, rank=3, **kind),
            torch.randn(4, 7, dtype=torch.float64),
        ),
        "embedding": (layers.Embedding(9, 6, rank=3, **kind), torch.tensor([[1, 2], [0, 8]])),
        "conv": (layers.Conv2d(4, 6, 3, padding=1, rank=3, **kind), images),
        "channels last": (
            layers.Conv2d(4, 6, 3, padding=1, rank=3, **kind),
            images.to(memory_format=torch.channels_last),
        ),
        "window": (layers.Conv2d(4, 6, 3, rank=3, modes=(0, 1, 2), **kind), images),
        "transposed conv": (layers.ConvTranspose2d(4, 6, 3, rank=3, **kind), images),
    }


@pytest.mark.parametrize("execution", [None, *EXECUTIONS])
@pytest.mark.parametrize("name", cases())
def test_training_uses_the_perturbed_weight(name: str, execution: Any) -> None:
    layer, inputs = cases()[name]
    layer.execution = execution
    other = copy.deepcopy(layer)
    other.core.data *= 0.5
    layer.perturb = Halve()
    assert_same(layer(inputs), other(inputs), terms=400)
    layer(inputs).sum().backward()
    other(inputs).sum().backward()
    assert layer.core.grad is not None
    assert other.core.grad is not None
    assert_same(layer.core.grad, other.core.grad / 2, terms=400)
    for mine, own in zip(layer.factors.values(), other.factors.values(), strict=True):
        assert mine.grad is not None
        assert own.grad is not None
        assert_same(mine.grad, own.grad, terms=400)


@pytest.mark.parametrize("name", cases())
def test_nothing_but_the_forward_sees_it(name: str) -> None:
    layer, inputs = cases()[name]
    plain = copy.deepcopy(layer)
    layer.perturb = Halve()
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(layer.dense().weight, plain.dense().weight)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    layer.eval()
    plain.eval()
    for mode in (torch.no_grad(), torch.enable_grad()):
        with mode:
            assert torch.equal(layer(inputs), plain(inputs))
    layer.train()
    with torch.no_grad():  # what evaluation keeps from call to call is not what training uses
        assert_same(
            layer(inputs) - _bias(layer, inputs), (plain(inputs) - _bias(layer, inputs)) / 2, terms=400
        )
    del layer.perturb
    plain.train()
    assert torch.equal(layer(inputs), plain(inputs))


def _bias(layer: FactorizedLayer, inputs: Tensor) -> Tensor:
    """The output for a weight of zero."""
    zero = copy.deepcopy(layer)
    zero.core.data.zero_()
    return zero(inputs)


def test_one_pass_does_not_collect_what_is_perturbed() -> None:
    layer, inputs = cases()["linear"]
    layer.one_pass = layers.OnePass([layer])
    layer(inputs).sum().backward()
    assert layer.one_pass.collected
    layer.one_pass.clear()
    layer.perturb = Halve()
    layer.zero_grad()
    layer(inputs).sum().backward()
    assert not layer.one_pass.collected


class Count(nn.Module):
    """Scales the weight by another number in every call."""

    number = 0

    def forward(self, value: TTMatrix) -> TTMatrix:
        self.number += 1
        return TTMatrix((value.cores[0] * self.number, *value.cores[1:]))


@pytest.mark.parametrize("execution", [None, "chain", "dense"])
@pytest.mark.parametrize("kind", ["linear", "embedding"])
def test_layers_over_tt_matrices(kind: str, execution: Any) -> None:
    torch.manual_seed(0)
    layer, inputs = {
        "linear": (layers.TTMatrixLinear(12, 8, bias=False, rank=3), torch.randn(4, 12)),
        "embedding": (layers.TTMatrixEmbedding(12, 8, rank=3), torch.tensor([[1, 2], [0, 11]])),
    }[kind]
    if kind == "linear":
        layer.execution = execution
    expected = layer(inputs)
    layer.perturb = Count()
    torch.testing.assert_close(layer(inputs), expected)
    twice = layer(inputs)
    torch.testing.assert_close(twice, 2 * expected)
    twice.sum().backward()
    assert all(part.grad is not None for part in layer.parts.values())
    layer.eval()
    with torch.no_grad():  # what evaluation keeps between calls is not this
        torch.testing.assert_close(layer(inputs), 3 * expected)
        torch.testing.assert_close(layer(inputs), 4 * expected)
        del layer.perturb
        torch.testing.assert_close(layer(inputs), expected)

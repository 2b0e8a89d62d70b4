from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfold import ConversionError, factorize
from rankfold.layers import Linear


class Reader(nn.Module):
    """Treats a layer differently once it is no longer nn.Linear, as code that reads weights may do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.again = self.layer

    def forward(self, inputs: Tensor) -> Tensor:
        stored = "weight" in dict(self.layer.named_parameters())
        return self.again(inputs) if stored else inputs


def test_a_failed_check_restores_the_model() -> None:
    model, inputs = Reader(), torch.randn(2, 6)
    layer, calls = model.layer, []
    layer.register_forward_hook(lambda *given: calls.append("called"))
    expected = model(inputs)
    with pytest.raises(ConversionError, match="differs from its dense reconstruction"):
        factorize(model, 2, example_inputs=inputs)
    assert model.layer is model.again is layer
    calls.clear()
    assert torch.equal(model(inputs), expected)
    assert calls == ["called"]


def test_a_model_that_fails_on_factorised_layers_is_restored() -> None:
    class Fails(Reader):
        def forward(self, inputs: Tensor) -> Tensor:
            if isinstance(self.layer, Linear):
                raise TypeError("a plain layer was expected")
            return self.layer(inputs)

    model = Fails()
    layer = model.layer
    with pytest.raises(TypeError, match="plain layer"):
        factorize(model, 2, example_inputs=torch.randn(2, 6))
    assert model.layer is layer


def test_example_inputs_that_the_model_refuses() -> None:
    model = nn.Sequential(nn.Linear(6, 6))
    with pytest.raises(RuntimeError):
        factorize(model, 2, example_inputs=torch.ones(2, 5))
    assert type(model[0]) is nn.Linear


class Many(nn.Module):
    """Takes two inputs, returns nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Any]:
        both = self.layer(left) + self.norm(right)
        return {"sum": both, "parts": [left.long(), (self.layer(right), "text")], "none": None}


@pytest.mark.parametrize("kind", ["tuple", "mapping"])
def test_errors_of_all_outputs_together(kind: str) -> None:
    left, right = torch.randn(2, 4, 6, dtype=torch.float64)
    inputs = (left, right) if kind == "tuple" else {"right": right, "left": left}
    model = Many().double()
    model.norm.eval()
    with torch.no_grad():
        before = model.eval()(left, right)
    model.train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    conversion = factorize(model, 2, example_inputs=inputs)
    assert model.training
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    with torch.no_grad():
        after = model.eval()(left, right)
    old = torch.cat([before["sum"], before["parts"][1][0]])
    new = torch.cat([after["sum"], after["parts"][1][0]])
    change = torch.linalg.vector_norm(new - old) / torch.linalg.vector_norm(old)
    assert conversion.output_change == pytest.approx(float(change), rel=1e-12)
    # Three thin products instead of one: some eps of sums of at most 6 terms each.
    assert conversion.parity_error <= 4 * 3 * 6 * torch.finfo(torch.float64).eps


def test_a_hook_that_changes_outputs_is_no_error() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    conversion = factorize(model, 3, example_inputs=torch.randn(2, 8))
    assert len(conversion.converted) == 2


def test_each_module_keeps_its_own_mode() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Dropout(), nn.Sequential(nn.Linear(6, 6)))
    model[1].eval()
    flags = [module.training for module in model.modules()]
    factorize(model, 2, example_inputs=torch.ones(2, 6))
    assert [module.training for module in model.modules()] == flags


def test_masked_outputs_of_minus_infinity_are_equal():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 5)

        def forward(self, x):
            return self.linear(x).index_fill(1, torch.tensor([2]), float("-inf"))

    conversion = factorize(Masked(), 3, example_inputs=torch.randn(4, 6))
    assert conversion.parity_error is not None
    assert conversion.parity_error < 1e-5

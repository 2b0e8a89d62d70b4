"""Full rank changes no output and touches nothing that is not converted, whatever the network is made of."""

import copy
from collections.abc import Callable

import pytest
import torch
from tests.convert.nasty import NASTY
from torch import Tensor, nn

from rankfold import Conversion, Fraction, densify, factorize, fold
from rankfold.models import MODELS, build_model

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "factorised": lambda model: model,
    "folded": fold,
    "densified": densify,
}
SLOW = ("alexnet", "vgg16", "resnet18")


def outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Of a copy, for batch norm and others learn from what they see."""
    parameter = next(model.parameters())
    given = inputs.to(parameter.dtype) if inputs.is_floating_point() else inputs
    with torch.no_grad():
        return copy.deepcopy(model)(given)


def difference(actual: Tensor, expected: Tensor) -> float:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    return float((actual - expected).detach().norm() / expected.detach().norm())


def own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def replaced(conversion: Conversion, modules: dict[str, nn.Module]) -> set[nn.Module]:
    """The modules that a conversion takes the place of; attention is split if any part of it is converted."""
    found = {modules[row.name] for row in conversion.converted if row.name in modules}
    for row in conversion.converted:
        parent = modules[row.name.rpartition(".")[0]]
        if isinstance(parent, nn.MultiheadAttention):
            found |= {parent, parent.out_proj}
    return found


def assert_full_rank_changes_nothing(model: nn.Module, inputs: Tensor, skipped: dict[str, str]) -> None:
    modules = dict(model.named_modules(remove_duplicate=False))
    tensors = {module: own_tensors(module) for module in modules.values()}
    values = {tensor: tensor.detach().clone() for own in tensors.values() for _, tensor in own}
    expected = outputs(model, inputs)
    conversion = factorize(model, Fraction(1.0))
    assert [row.name for row in conversion.skipped] == list(skipped)
    assert all(skipped[row.name] in str(row.reason) for row in conversion.skipped)
    gone = replaced(conversion, modules)
    assert gone
    for name, module in modules.items():
        if module not in gone:
            assert model.get_submodule(name) is module
            assert [(key, id(tensor)) for key, tensor in own_tensors(module)] == [
                (key, id(tensor)) for key, tensor in tensors[module]
            ]
            assert all(torch.equal(tensor, values[tensor]) for _, tensor in tensors[module])
    for form, make in FORMS.items():
        assert difference(outputs(make(model), inputs), expected) <= TOLERANCES[expected.dtype], form


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("name", NASTY)
def test_nasty_networks(name: str, dtype: torch.dtype, training: bool) -> None:
    case = NASTY[name]
    assert_full_rank_changes_nothing(case.make().to(dtype).train(training), case.inputs(), dict(case.skipped))


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS]
)
def test_networks_of_the_library(name: str, dtype: torch.dtype) -> None:
    model = build_model(name).to(dtype).eval()
    assert_full_rank_changes_nothing(model, torch.randn(2, *MODELS[name].input_shape), {})


def test_layers_of_different_precision() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.coarse, self.fine = nn.Linear(8, 6).bfloat16(), nn.Linear(6, 4).double()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.fine(self.coarse(inputs.bfloat16()).double())

    model, inputs = Mixed(), torch.randn(5, 8)
    expected = model(inputs)
    factorize(model, Fraction(1.0))
    assert (model.coarse.core.dtype, model.fine.core.dtype) == (torch.bfloat16, torch.float64)
    for make in FORMS.values():
        assert difference(make(model)(inputs), expected) <= 8 * torch.finfo(torch.bfloat16).eps


def test_half_precision() -> None:
    model, inputs = (
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(54, 7)).half(),
        torch.randn(2, 4, 5, 5),
    )
    expected = model(inputs.half())
    factorize(model, Fraction(1.0))
    for make in FORMS.values():
        assert difference(make(model)(inputs.half()), expected) <= 8 * torch.finfo(torch.float16).eps

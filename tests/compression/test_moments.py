"""Moments against sums written out, and what collecting them leaves alone."""

import copy

import pytest
import torch
from tests.compression.networks import LAYERS
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, OptionError
from rankfold.compression._moments import Moments, collect_moments
from rankfold.compression._patches import gradient_rows, patches


def collected(
    model: nn.Module, layer: nn.Module, batches: list, modes: tuple[int, int] = (1, 0), **options
) -> Moments:
    key = id(layer.weight)
    return collect_moments(model, {key: [layer]}, {key: modes}, batches, **options)[0][key]


@pytest.mark.parametrize(("layer", "given"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS])
def test_a_weight_times_the_patches_is_the_output(layer: nn.Module, given: Tensor) -> None:
    rows = torch.cat([part.flatten(1) for part in patches(layer, given)])
    expected = gradient_rows(layer, layer(given))
    if layer.bias is not None:
        expected = expected - layer.bias
    torch.testing.assert_close(rows @ layer.weight.flatten(1).mT, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [(5,), ()])
@pytest.mark.parametrize("kind", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_the_patches_of_transposed_convolutions_are_their_positions(
    kind: type[nn.Module], batch: tuple[int, ...]
) -> None:
    dimension = int(kind.__name__[-2])
    layer = kind(4, 6, 1, bias=False).double()
    given = torch.randn(*batch, 4, *(3,) * dimension, dtype=torch.float64)
    rows = torch.cat([part.flatten(1) for part in patches(layer, given)])
    expected = gradient_rows(layer, layer(given))
    torch.testing.assert_close(rows @ layer.weight.flatten(1), expected, rtol=1e-12, atol=1e-12)


def test_grouped_patches_are_those_of_one_group() -> None:
    layer, given = nn.Conv2d(6, 4, 3, groups=2).double(), torch.randn(2, 6, 5, 5).double()
    rows = torch.cat([part.flatten(1) for part in patches(layer, given)]).reshape(
        2, 2, 9, -1
    )  # sample, group, position
    expected = torch.stack(
        [rows[:, group] @ layer.weight[2 * group : 2 * group + 2].flatten(1).mT for group in (0, 1)]
    )
    outputs = (layer(given) - layer.bias[:, None, None]).reshape(2, 2, 2, 9)
    torch.testing.assert_close(expected.permute(1, 0, 3, 2), outputs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("layer", "given"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS])
def test_moments_are_means_of_products(layer: nn.Module, given: Tensor) -> None:
    moments = collected(layer, layer, list(given.split(2)))
    rows = torch.cat([part.flatten(1) for part in patches(layer, given)])
    joint = rows.mT @ rows / len(rows)
    torch.testing.assert_close(moments.joint, joint, rtol=1e-12, atol=1e-12)
    channels = torch.einsum("pik,pjk->ij", *[rows.reshape(len(rows), layer.weight.shape[1], -1)] * 2) / len(
        rows
    )
    torch.testing.assert_close(moments.inputs, channels, rtol=1e-12, atol=1e-12)
    assert float(moments.window.trace()) == pytest.approx(1)
    # Signs are +1 and -1, so the gradients of a single layer's outputs are those signs.
    positions = gradient_rows(layer, layer(given)).shape[0] / len(given)
    diagonal = torch.full((layer.weight.shape[0],), positions, dtype=torch.float64)
    torch.testing.assert_close(moments.outputs.diagonal(), diagonal)


def test_large_moments_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    _, layer, given = LAYERS[2]
    whole = collected(layer, layer, [given])
    monkeypatch.setattr("rankfold.compression._moments._LARGEST_JOINT", 10)
    apart = collected(layer, layer, [given])
    assert apart.joint is None
    for name in ("inputs", "window", "outputs"):
        torch.testing.assert_close(getattr(apart, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


def test_batches_of_any_size_give_the_same() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)).double()
    data = torch.randn(12, 4).double()
    one, many = (collected(model, model[0], list(data.split(size))) for size in (12, 5))
    torch.testing.assert_close(one.joint, many.joint)


def shrunk(moment: Tensor, samples: int) -> Tensor:
    """Between the moment and a multiple of the identity with its trace, at n to samples."""
    size = len(moment)
    target = moment.trace() / size * torch.eye(size).double()
    return (samples * moment + size * target) / (samples + size)


def test_gradients_are_those_of_the_outputs_before_work_in_place() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 1)).double()
    data = torch.randn(30, 4).double()
    moments = collected(model, model[0], [data])
    active = (model[0](data) > 0).double() * model[2].weight
    expected = shrunk(active.mT @ active / len(data), len(data))
    torch.testing.assert_close(moments.outputs, expected, rtol=1e-12, atol=1e-12)


def test_a_loss_takes_the_place_of_the_signs() -> None:
    layer, data = nn.Linear(4, 3).double(), torch.randn(9, 4).double()
    targets = torch.randint(0, 3, (9,))

    def loss(outputs: Tensor, batch: list) -> Tensor:
        return nn.functional.cross_entropy(outputs, batch[1], reduction="sum")

    moments = collected(layer, layer, [[data, targets]], loss=loss)
    gradient = layer(data).softmax(1) - nn.functional.one_hot(targets, 3)
    expected = shrunk(gradient.mT @ gradient / 9, 9)
    torch.testing.assert_close(moments.outputs, expected, rtol=1e-12, atol=1e-12)


def test_indices_are_counted() -> None:
    layer = nn.Embedding(6, 3).double()
    moments = collected(layer, layer, [torch.tensor([[0, 1, 1], [5, 1, 0]])], modes=(0, 1))
    torch.testing.assert_close(moments.inputs, torch.tensor([2, 3, 0, 0, 0, 1], dtype=torch.float64) / 6)


def test_the_model_is_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).double().train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    model[0].weight.requires_grad_(False)
    collected(model, model[0], [torch.randn(5, 4).double()])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, False, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model[0].weight.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


def test_frozen_models_have_gradients_too() -> None:
    model = (
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 1)).double().requires_grad_(False)
    )
    data = torch.randn(30, 4).double()
    with torch.no_grad():
        moments = collected(model, model[0], [data])
    assert float(moments.outputs.trace()) > 0


def test_what_data_never_reach_has_no_moments() -> None:
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(3, 2)})
    model.forward = lambda x: model["used"](x)
    weights = {id(layer.weight): [layer] for layer in model.values()}
    found, samples = collect_moments(model, weights, dict.fromkeys(weights, (1, 0)), [torch.randn(4, 3)])
    assert list(found) == [id(model["used"].weight)]
    assert samples == 4


def test_bad_data_are_refused() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(OptionError, match="hold no batch"):
        collected(layer, layer, [])
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        collected(layer, layer, [torch.full((2, 3), float("nan"))])
    with pytest.raises(OptionError, match="carry no gradient"):
        collected(layer, layer, [torch.zeros(2, 3)], loss=lambda outputs, batch: outputs.detach().sum())
    assert not layer._forward_hooks

"""Plain weights written in formats: spectral initialisation of new networks, compression of trained ones."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold import NonFiniteError, OptionError, RankError, SelectorError
from rankfold.init import FORMS, spectral
from rankfold.layers import FormatWeight, Linear, format_sites, kernel_from_matrix, kernel_matrix
from rankfold.testing import assert_same


@pytest.fixture(params=["random", "trained"])
def conv(request: pytest.FixtureRequest) -> nn.Conv2d:
    """A convolution with a random kernel, and one of a trained ResNet-20, both in float64."""
    layer = nn.Conv2d(32, 32, 3, padding=1, dtype=torch.float64)
    if request.param == "trained":
        file = Path(os.environ.get("RANKFOLD_DATA", ""), "weights", "cifar10_resnet20.safetensors")
        if not file.is_file():
            pytest.skip("RANKFOLD_DATA has no weights/cifar10_resnet20.safetensors")
        layer.weight.data = load_file(file)["layer2.1.conv1.weight"].double()
    return layer


def images() -> Tensor:
    return torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("form", ["separable", "tt", "tucker"])
def test_full_rank_is_the_layer_itself(conv: nn.Conv2d, form: str) -> None:
    expected = conv(images())
    weight = conv.weight.detach().clone()
    (row,) = spectral(conv, form, 1.0)
    assert row.error <= 1e-14
    assert_same(conv(images()), expected, terms=weight.numel())
    assert float((conv.weight.detach() - weight).norm()) <= 1e-12 * float(weight.norm())


def test_the_permutation_of_the_kernel(conv: nn.Conv2d) -> None:
    """The released code of the paper reshapes without it: 131 % error at full rank instead of none."""
    weight = conv.weight.detach()
    rank = 24
    matrix = kernel_matrix(weight)
    values = torch.linalg.svdvals(matrix)
    tail = float(values[rank:].norm() / values.norm())
    (row,) = spectral(nn.Sequential(conv), "separable", rank)
    assert abs(row.error - tail) <= 1e-12
    assert float((conv.weight.detach() - weight).norm() / weight.norm()) == pytest.approx(tail, abs=1e-12)
    wrong = kernel_from_matrix(weight.reshape(matrix.shape), weight.shape)
    assert float((wrong - weight).norm() / weight.norm()) > 1
    # Whoever runs the two factors as a row of the window after a column computes what the layer computes.
    (site,) = format_sites(conv)
    second, first = (core.detach().squeeze() for core in site.value.tensors)
    across = nn.functional.conv2d(images(), first.reshape(rank, 32, 1, 3), padding=(0, 1))
    down = second.reshape(32, 3, rank).permute(0, 2, 1)[..., None]
    pair = nn.functional.conv2d(across, down, conv.bias, padding=(1, 0))
    assert_same(conv(images()), pair, terms=weight.numel())
    assert_same(second.mT @ second, first @ first.mT, terms=1000)


@pytest.mark.parametrize("form", FORMS)
def test_lower_ranks_keep_what_they_can(conv: nn.Conv2d, form: str) -> None:
    weight = conv.weight.detach().clone()
    model = nn.Sequential(conv)
    (row,) = spectral(model, form, 0.25)
    assert row.parameters_before == weight.numel()
    assert row.parameters_after == sum(p.numel() for p in conv.parametrizations["weight"].parameters())
    reached = float((conv.weight.detach() - weight).norm() / weight.norm())
    assert row.error == pytest.approx(reached, abs=1e-9)
    assert reached < 1
    assert isinstance(conv.parametrizations["weight"][0], FormatWeight)


@pytest.mark.parametrize("balance", [True, False])
def test_a_matrix_at_a_rank_has_the_error_of_its_tail(balance: bool) -> None:
    for form in ("tt", "cp", "tucker"):
        layer = nn.Linear(20, 15, dtype=torch.float64)
        spectrum = torch.linalg.svdvals(layer.weight.detach())
        (row,) = spectral(nn.Sequential(layer), form, 5, balance=balance)
        assert abs(row.error - float(spectrum[5:].norm() / spectrum.norm())) <= 1e-12
        parts = [float(t.detach().norm()) for site in format_sites(layer) for t in site.value.tensors]
        assert set(row.ranks) == {5}
        if form == "tt":
            assert (abs(parts[0] / parts[1] - 1) < 1e-12) == balance


def test_which_layers() -> None:
    def network() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Flatten(),
            nn.Linear(32, 8),
            Linear(8, 8, rank=2),
            nn.Embedding(5, 4),
        )

    assert [row.name for row in spectral(network(), "tt", 2)] == ["0", "3", "5"]
    assert [row.name for row in spectral(network(), "separable", 2)] == ["0"]
    assert [row.name for row in spectral(network(), "tt", 2, include=nn.Linear)] == ["3"]
    assert [row.name for row in spectral(network(), "tt", 2, exclude=["0", "5"])] == ["3"]
    twice = network()
    spectral(twice, "tt", 2)
    with pytest.raises(OptionError, match="spectral: tt: the model has no layer with a fitting weight"):
        spectral(twice, "tt", 2)
    with pytest.raises(SelectorError, match="matches none"):
        spectral(network(), "separable", 2, include="3")


def test_ranks_are_lowered_and_shares_rounded() -> None:
    rows = spectral(nn.Sequential(nn.Linear(6, 20), nn.Linear(20, 3)), "tt", 10)
    assert [row.ranks for row in rows] == [(6,), (3,)]
    rows = spectral(nn.Sequential(nn.Linear(6, 20), nn.Linear(20, 3)), "tt", 0.01)
    assert [row.ranks for row in rows] == [(1,), (1,)]


def test_it_trains_and_becomes_plain_again() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    spectral(model, "tt", 4)
    inputs, labels = torch.randn(60, 8), torch.randint(0, 3, (60,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    expected = model(inputs)
    for layer in (model[0], model[2]):
        parametrize.remove_parametrizations(layer, "weight")
    torch.testing.assert_close(model(inputs), expected)


def test_seeds_of_components() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(0)
        layer = nn.Conv2d(4, 5, 3)
        spectral(layer, "cp", 3, generator=torch.Generator().manual_seed(seed))
        return layer.weight.detach()

    assert torch.equal(drawn(0), drawn(0))


def test_refusals() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for rank in (0, -1, 1.5, 0.0, -0.5, True, "3", None, float("nan")):
        with pytest.raises(RankError, match="rank must be a whole number from 1 or a share"):
            spectral(model, "tt", rank)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="form: got 'svd', known are cp, separable"):
        spectral(model, "svd", 2)
    with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
        spectral([], "tt", 2)  # pyright: ignore[reportArgumentType]
    model[1].weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="layer '1'"):
        spectral(model, "tt", 2)
    assert all(type(layer) is nn.Linear for layer in model)

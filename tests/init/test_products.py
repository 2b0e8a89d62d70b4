"""Factors of elementwise products: their deviations, bounds, and that they train where naive ones do not."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import OptionError
from rankfold.data import load_dataset
from rankfold.init import initialize_products, product_factors
from rankfold.layers import hadamard_weights
from rankfold.regularize import hadamard

#: Deviation of He's initialisation at 300 inputs.
TARGET = math.sqrt(2 / 300)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def product(depth: int, method: str, size: int = 1000) -> Tensor:
    factors = product_factors(
        (size, size),
        depth,
        TARGET,
        method=method,
        generator=seeded(),
        dtype=torch.float64,  # pyright: ignore
    )
    return torch.stack(factors).prod(0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_matched_products_have_the_deviation(depth: int) -> None:
    """Beyond D = 3 the kurtosis of 3^D makes the deviation of a sample a noisy thing."""
    assert abs(float(product(depth, "variance_matched").std()) / TARGET - 1) <= 0.05


@pytest.mark.parametrize(("depth", "expected"), [(2, 0.0505), (3, 0.0396), (4, 0.0342)])
def test_truncated_products_are_narrower_by_known_numbers(depth: int, expected: float) -> None:
    drawn = product(depth, "truncated")
    assert abs(float(drawn.std()) / expected - 1) <= 0.05
    assert abs(float(drawn.mean())) <= 4 * expected / 1000


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_none_starts_dead(depth: int) -> None:
    drawn = product(depth, "truncated").abs()
    assert float(drawn.min()) >= 3e-3 * (1 - 1e-12)
    assert float(drawn.max()) <= 2 * TARGET * (1 + 1e-12)
    assert not bool((drawn < 1e-3).any())


@pytest.mark.parametrize(("depth", "expected"), [(3, 0.105), (4, 0.186)])
def test_without_truncation_many_do(depth: int, expected: float) -> None:
    share = float((product(depth, "variance_matched").abs() < 1e-3).double().mean())
    assert abs(share / expected - 1) <= 0.05


def test_naive_factors_have_a_cubed_deviation() -> None:
    naive = torch.randn(3, 1000, 1000, generator=seeded(), dtype=torch.float64) * TARGET
    assert abs(float(naive.prod(0).std()) / TARGET**3 - 1) <= 0.05
    assert TARGET**3 < 6e-4


def test_factors_of_a_model() -> None:
    network = nn.Sequential(nn.Linear(300, 200), nn.Conv2d(4, 8, 3), nn.Embedding(50, 20))
    hadamard(network, 3)
    biases = network[0].bias.detach().clone()
    rows = initialize_products(network, generator=seeded())
    assert [(row.name, row.depth) for row in rows] == [("0", 3), ("1", 3), ("2", 3)]
    for row, (_, layer, factors) in zip(rows, hadamard_weights(network), strict=True):
        drawn = layer.weight
        assert isinstance(drawn, Tensor)
        assert abs(row.std - float(drawn.detach().square().mean().sqrt())) <= 1e-5 * row.std
        assert all(factor.dtype == torch.float32 for factor in factors)
    assert torch.equal(network[0].bias, biases)
    rows = initialize_products(network, "variance_matched", std=0.3, rescale=True)
    assert all(
        abs(float(layer.weight.detach().square().mean().sqrt()) - 0.3) < 1e-4
        for _, layer, _ in hadamard_weights(network)
    )  # pyright: ignore
    assert [row.std for row in rows] == [0.3, 0.3, 0.3]


def test_seeds() -> None:
    first, again, other = (product_factors((4, 4), 2, 0.1, generator=seeded(s))[1] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_digits_train_from_these_and_not_from_naive_ones() -> None:
    """Related work measured 10.2 % from naive factors at D = 3, and 96.7 %."""
    digits = load_dataset("digits")
    inputs, test_inputs = (
        F.avg_pool2d(part, 4).flatten(1)[:, :49] for part in (digits.train_inputs, digits.test_inputs)
    )
    reached = {}
    for start in ("naive", "truncated"):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(49, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        stds = [math.sqrt(2 / layer.in_features) for layer in network if isinstance(layer, nn.Linear)]
        hadamard(network, 3)
        for std, (_, layer, factors) in zip(stds, hadamard_weights(network), strict=True):
            if start == "truncated":
                initialize_products(layer, std=std, generator=seeded())
                continue
            for factor in factors:
                nn.init.normal_(factor, 0, std)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
        for _ in range(20):
            for rows in torch.randperm(len(inputs)).split(128):
                optimizer.zero_grad()
                F.cross_entropy(network(inputs[rows]), digits.train_targets[rows]).backward()
                nn.utils.clip_grad_norm_(network.parameters(), 2.0)
                optimizer.step()
        with torch.no_grad():
            reached[start] = float((network(test_inputs).argmax(1) == digits.test_targets).float().mean())
    assert reached["naive"] < 0.2
    assert reached["truncated"] > 0.85


def test_refusals() -> None:
    for depth in (0, -1, 2.0, True):
        with pytest.raises(OptionError, match="depth must be a whole number of 1 or more"):
            product_factors((2, 2), depth, 0.1)  # pyright: ignore[reportArgumentType]
    for std in (0, -1, math.nan, math.inf, True):
        with pytest.raises(OptionError, match="std must be a finite number over 0"):
            product_factors((2, 2), 2, std)
    with pytest.raises(OptionError, match="method must be one of truncated, variance_matched, got 'uniform'"):
        product_factors((2, 2), 2, 0.1, method="uniform")  # pyright: ignore[reportArgumentType]
    for smallest in (-1e-3, 0.2, math.nan):
        with pytest.raises(OptionError, match=r"smallest must lie in \[0, 0.2\)"):
            product_factors((2, 2), 2, 0.1, smallest=smallest)
    with pytest.raises(OptionError, match="no weight of the model is an elementwise product"):
        initialize_products(nn.Linear(3, 3))

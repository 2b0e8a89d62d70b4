"""Pruning against a sort of all weights, one by one."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rankfold.studies._pruning import (
    connection_sensitivity,
    make_permanent,
    prune_to_share,
    shares_of_rounds,
)


def _network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    return network.double()


def _layers(network: nn.Sequential) -> list[nn.Module]:
    return [network[0], network[3]]


def _batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(10, 1, 6, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (10,), generator=generator)


def test_connection_sensitivity_is_the_derivative_by_a_factor_on_each_weight():
    network, (inputs, targets) = _network(), _batch()
    scores = connection_sensitivity(network, _layers(network), inputs, targets)
    step = 1e-6
    for layer in _layers(network):
        weight = layer.weight
        flat = weight.detach().view(-1)
        for entry in (0, 7, flat.numel() - 1):
            value = float(flat[entry])
            losses = []
            for factor in (1 + step, 1 - step):
                flat[entry] = factor * value
                losses.append(F.cross_entropy(network(inputs), targets).item())
            flat[entry] = value
            # Central differences: error of order step² from the third derivative, eps * loss / step from rounding.
            slope = abs(losses[0] - losses[1]) / (2 * step)
            assert float(scores[layer].view(-1)[entry]) == pytest.approx(slope, abs=1e-8)
        assert weight.grad is None


@given(share=st.floats(0.001, 1.0), seed=st.integers(0, 5))
def test_what_is_left_is_the_largest_of_all_layers_together(share: float, seed: int):
    network = _network(seed)
    layers = _layers(network)
    before = [layer.weight.detach().clone() for layer in layers]
    sizes = torch.cat([weight.flatten().abs() for weight in before])
    kept = max(round(share * len(sizes)), 1)
    threshold = sizes.sort(descending=True).values[kept - 1]
    prune_to_share(layers, share)
    assert make_permanent(layers) == kept
    for layer, weight in zip(layers, before, strict=True):
        assert torch.equal(layer.weight.detach(), weight * (weight.abs() >= threshold))
        assert isinstance(layer.weight, nn.Parameter)


def test_scores_decide_where_they_are_given():
    network, (inputs, targets) = _network(), _batch()
    layers = _layers(network)
    scores = connection_sensitivity(network, layers, inputs, targets)
    order = torch.cat([scores[layer].flatten() for layer in layers])
    threshold = order.sort(descending=True).values[19]
    prune_to_share(layers, 20 / len(order), scores)
    masks = [layer.weight_mask.bool() for layer in layers]
    assert sum(int(mask.sum()) for mask in masks) == 20
    assert all(
        torch.equal(mask, scores[layer] >= threshold) for layer, mask in zip(layers, masks, strict=True)
    )


def test_what_was_pruned_stays_so_while_the_optimiser_goes_on():
    network, (inputs, targets) = _network(), _batch()
    layers = _layers(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    alive = [torch.ones_like(layer.weight, dtype=torch.bool) for layer in layers]
    for share in shares_of_rounds(0.1, 3):
        prune_to_share(layers, share)
        for number, layer in enumerate(layers):
            assert not (layer.weight_mask.bool() & ~alive[number]).any()
            alive[number] = layer.weight_mask.bool()
        before = [layer.weight_orig.detach().clone() for layer in layers]
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        # The parameters that the optimiser has are still those of the layers.
        pairs = zip(layers, before, strict=True)
        assert all(not torch.equal(layer.weight_orig, weight) for layer, weight in pairs)
    total = sum(mask.numel() for mask in alive)
    assert make_permanent(layers) == round(0.1 * total)


def test_nothing_is_done_at_a_share_that_is_reached():
    network = _network()
    layers = _layers(network)
    prune_to_share(layers, 0.3)
    masks = [layer.weight_mask.clone() for layer in layers]
    prune_to_share(layers, 0.3)
    prune_to_share(layers, 0.8)
    assert all(torch.equal(layer.weight_mask, mask) for layer, mask in zip(layers, masks, strict=True))


def test_layers_that_were_not_pruned_keep_their_weights():
    network = _network()
    layers = _layers(network)
    assert make_permanent(layers) == sum(layer.weight.numel() for layer in layers)

"""Dropout of rank indices that is right for every format; defects of tensorly-torch 0.5.0 are among the cases."""

import copy
from typing import Any

import pytest
import torch
from tests.regularize.training import loss, train
from tests.regularize.values import batch, model, values
from torch import Tensor, nn

from rankfold import CP, TDLRT, TT, OptionError, Tucker, factorize, fold
from rankfold.formats import Format
from rankfold.layers import Conv2d, Linear
from rankfold.regularize import LatentDropout, latent_dropout, remove_latent_dropout

DRAWS = 4000


def mean_of(dropout: LatentDropout, value: Format) -> Tensor:
    total = torch.zeros(value.shape, dtype=torch.float64)
    for _ in range(DRAWS):
        total += dropout(value).to_dense()
    return total / DRAWS


def slope(mean: Tensor, dense: Tensor) -> float:
    """Regression of the mean on the weight."""
    return float((mean * dense).sum() / dense.square().sum())


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# -- the mean is the weight ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", values())
def test_the_mean_is_the_weight(name: str) -> None:
    """Among the values are axes of 2 and 3, which are skipped: there tensorly-torch has the slope 1.418."""
    value = values()[name]
    dropout = LatentDropout(0.3, generator=seeded())
    assert abs(slope(mean_of(dropout, value), value.to_dense()) - 1) <= 0.03


def test_skipped_axes_are_not_divided_for() -> None:
    value = Tucker(torch.randn(6, 3).double(), (torch.randn(9, 6).double(), torch.randn(8, 3).double()))
    dropout = LatentDropout(0.3, generator=seeded())
    assert value.latent_axes() == {"mode_0": 6, "mode_1": 3}
    dropped = dropout(value)
    assert isinstance(dropped, Tucker)
    columns = dropped.core / value.core
    assert torch.equal(columns, columns[:, :1].expand(-1, 3))  # no column of the axis of 3 is left out
    assert abs(slope(mean_of(dropout, value), value.to_dense()) - 1) <= 0.03


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_few_components_are_left_whole(rank: int) -> None:
    """With as many components as are spared tensorly-torch stops with an UnboundLocalError."""
    value = CP(torch.ones(rank), tuple(torch.randn(n, rank) for n in (4, 5, 6)))
    dropout = LatentDropout(0.5)
    assert dropout(value) is value


def test_dropping_at_test_is_scaled_too() -> None:
    """Without that the slope is (1 - p)^3 = 0.34 for p = 0.3 and three modes."""
    value = Tucker(torch.randn(6, 5, 4).double(), tuple(torch.randn(7, r).double() for r in (6, 5, 4)))
    dropout = LatentDropout(0.3, at_test=True, generator=seeded()).eval()
    assert abs(slope(mean_of(dropout, value), value.to_dense()) - 1) <= 0.03


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_one_always_stays_and_the_mean_allows_for_it(rate: float) -> None:
    value = CP(torch.ones(4).double(), (torch.eye(4).double(), torch.eye(4).double()))
    dropout = LatentDropout(rate, generator=seeded())
    kept = torch.zeros(4, dtype=torch.float64)
    for _ in range(DRAWS):
        weights = dropout(value).tensors[0]
        assert weights.any()
        kept += weights
    # Four standard errors of a mean of DRAWS masks whose variance is at most 1 / (1 - rate).
    assert bool(((kept / DRAWS - 1).abs() <= 4 * (1 / (1 - rate) / DRAWS) ** 0.5).all())


# -- when it acts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", values())
def test_evaluation_is_the_weight_bit_for_bit(name: str) -> None:
    value = values()[name]
    assert LatentDropout(0.5).eval()(value) is value
    assert LatentDropout(0.0)(value) is value
    assert LatentDropout({"none": 0.5})(value) is value


@pytest.mark.parametrize("form", ["tucker", "cp", "tt", "tt_matrix"])
def test_attached_to_layers(form: str) -> None:
    network, plain = model(form), model(form)
    network.load_state_dict(plain.state_dict())
    names = latent_dropout(network, 0.4, min_size=2)
    assert names == ("0", "3")
    images, _ = batch()
    expected = plain(images)
    assert not torch.equal(network(images), network(images))
    network.eval()
    plain.eval()
    assert torch.equal(network(images), plain(images))
    network.train()
    remove_latent_dropout(network)
    assert torch.equal(network(images), expected)
    assert network.state_dict().keys() == plain.state_dict().keys()


def test_seeds() -> None:
    images, _ = batch()
    outputs = []
    for seed in (0, 0, 1):
        network = model("tucker")
        network.load_state_dict(model("tucker").state_dict())
        torch.manual_seed(7)
        reference = model("tucker")
        network.load_state_dict(reference.state_dict())
        latent_dropout(network, 0.4, min_size=2, generator=torch.Generator().manual_seed(seed))
        outputs.append(network(images))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    for expected in (True, False):
        network = model("tucker")
        torch.manual_seed(7)
        network.load_state_dict(model("tucker").state_dict())
        latent_dropout(network, 0.4, min_size=2)
        torch.manual_seed(0)
        first = network(images)
        torch.manual_seed(0 if expected else 1)
        assert torch.equal(first, network(images)) == expected


def test_own_probabilities_by_index() -> None:
    layer = Linear(12, 10, rank=(6, 6))
    latent_dropout(layer, {"mode_1": 0.5}, generator=seeded())
    value = layer.tucker
    dropped: Any = layer.perturb(value)  # pyright: ignore[reportCallIssue]
    rows = dropped.core / value.core
    torch.testing.assert_close(rows, rows[:1].expand(6, -1))
    kept = rows[0][rows[0] != 0].detach()
    assert 1 <= len(kept) < 6
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (0.5 + 0.5**6 / 6)))


def test_nothing_dense_is_formed() -> None:
    """A layer of 10^12 weights, one of 10^10 and a train of 10^18 entries."""
    for value in (
        Tucker(torch.ones(4, 4), (torch.ones(1_000_000, 4), torch.ones(1_000_000, 4))),
        TT(tuple(torch.ones(1 if k == 0 else 4, 10, 1 if k == 17 else 4) for k in range(18))),
        CP(torch.ones(5), tuple(torch.ones(100_000, 5) for _ in range(2))),
    ):
        assert LatentDropout(0.5)(value).num_parameters == value.num_parameters
    layer = Linear(200_000, 200_000, bias=False, rank=4)
    latent_dropout(layer, 0.5)
    layer(torch.ones(1, 200_000)).sum().backward()


def test_copies_and_folding() -> None:
    network = model("tucker")
    images, _ = batch()
    latent_dropout(network, 0.4, min_size=2, generator=seeded())
    other = copy.deepcopy(network)
    assert torch.equal(network(images), other(images))  # the generators are copies too
    expected = network.eval()(images)
    torch.testing.assert_close(fold(network)(images), expected)


# -- training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tucker", "cp", "tt", "tt_matrix"])
def test_with_plain_optimisers(form: str) -> None:
    network = model(form)
    latent_dropout(network, 0.1, min_size=2, generator=seeded())
    train(network, torch.optim.SGD(network.parameters(), lr=0.1), 120)
    network.eval()
    assert float(loss(network).detach()) < 1.2


@pytest.mark.parametrize("core_steps", [1, 4])
@pytest.mark.parametrize("integrator", ["augmented", "parallel", "fixed"])
def test_with_tdlrt(integrator: str, core_steps: int) -> None:
    network = model("tucker")
    latent_dropout(network, 0.1, min_size=2, generator=seeded())
    optimizer = TDLRT(
        network, torch.optim.SGD, lr=0.1, integrator=integrator, core_steps=core_steps, tolerance=0.15
    )
    ranks = {(network[0].ranks, network[3].ranks)}
    for _ in range(90):
        train(network, optimizer, 1)
        ranks.add((network[0].ranks, network[3].ranks))
    optimizer.truncate()
    network.eval()
    assert float(loss(network).detach()) < 1.2
    assert (len(ranks) > 1) == (integrator != "fixed")
    assert all(float(network[k].tucker.orthonormality_defect()) < 1e-12 for k in (0, 3))


def test_a_closure_sees_the_same_masks_twice() -> None:
    """TDLRT evaluates it twice on one batch; from torch's global generator both passes draw alike."""
    network = model("tucker")
    latent_dropout(network, 0.3, min_size=2)
    optimizer = TDLRT(network, torch.optim.SGD, lr=0.1, integrator="fixed", core_steps=1)
    seen = []
    network[0].perturb.register_forward_hook(
        lambda module, given, result: seen.append(result.core / given[0].core)
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(network)
        value.backward()
        return value

    optimizer.step(closure)
    torch.testing.assert_close(seen[0], seen[1])


# -- what makes no sense ---------------------------------------------------------------------------------


def test_refusals() -> None:
    for rate in (-0.1, 1.0, 1.5, float("nan"), "0.1", True, None, {"mode_0": 1.0}):
        for function in (LatentDropout, lambda p: latent_dropout(model("tucker"), p)):
            with pytest.raises(OptionError, match=r"p must be a number in \[0, 1\)"):
                function(rate)  # pyright: ignore[reportArgumentType]
    for size in (0, -1, 2.0, True):
        with pytest.raises(OptionError, match="min_size must be a whole number of 1 or more"):
            LatentDropout(0.1, min_size=size)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="no weight of the model is in a format"):
        latent_dropout(nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(OptionError, match="no weight has a rank index 'bond_0'; known are mode_0, mode_1"):
        latent_dropout(model("tucker"), {"mode_0": 0.1, "bond_0": 0.1})
    for function in (latent_dropout, remove_latent_dropout):
        with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
            function("model")  # pyright: ignore[reportArgumentType]


def test_one_takes_the_place_of_another_and_the_model_may_be_the_layer() -> None:
    layer = Conv2d(3, 4, 3, rank=3)
    assert latent_dropout(layer, 0.1) == ("",)
    latent_dropout(layer, 0.2)
    assert isinstance(layer.perturb, LatentDropout)
    assert layer.perturb.p == 0.2
    dense = nn.Sequential(nn.Linear(8, 8))
    factorize(dense, 4)
    layer.eval()
    latent_dropout(layer, 0.2)
    assert not layer.perturb.training

"""Layers to tensorly-torch and back, with that library itself at the other end."""

import warnings

import pytest
import torch
from tests.integrations.examples import check_doctests
from torch import nn

import rankfold as rf
from rankfold.layers import Conv1d, Conv2d, Conv3d, ConvTranspose2d, Linear, TTMatrixLinear

# Of TensorLy, about trains of two cores.
pytestmark = pytest.mark.filterwarnings("ignore:Determining the tt-rank for the trivial case:UserWarning")

GEOMETRIES = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1},
    "dilated with bias": {"dilation": 2, "padding": 2, "bias": True},
}


@pytest.fixture
def kit():
    """Both libraries, with the backend of TensorLy that tensorly-torch needs."""
    tensorly = pytest.importorskip("tensorly", reason="tensorly is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("tltorch", reason="tensorly-torch is not installed")
        from rankfold.integrations import _tltorch
    tensorly.set_backend("pytorch")
    torch.manual_seed(0)
    return type("Kit", (), {"theirs": theirs, "ours": _tltorch})


def agree(one, two, inputs):
    with torch.no_grad():
        wanted, got = one(inputs), two(inputs)
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("factorization", ["tucker", "cp", "tt"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_convolutions_come_in(kit, order, geometry, factorization):
    layer = kit.theirs.FactorizedConv(
        6,
        8,
        3,
        order=order,
        factorization=factorization,
        rank=0.5,
        dtype=torch.float64,
        **GEOMETRIES[geometry],
    )
    layer.reset_parameters(0.3)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    if factorization == "tt":
        with pytest.raises(rf.OptionError, match=f"order {order} in TT has no counterpart"):
            kit.ours.from_tltorch(layer)
        return
    ours = kit.ours.from_tltorch(layer.eval())
    assert not ours.training
    agree(layer, ours, torch.randn(2, 6, *(9,) * order, dtype=torch.float64))
    if factorization == "tucker":
        assert ours.tucker.orthonormality_defect() < 1e-12
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    nn.init.zeros_(next(layer.weight.parameters()))  # what came in has values of its own
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("factorization", ["tucker", "cp", "blocktt"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_come_in(kit, factorization, bias):
    sizes = ((2, 3), (4, 2)) if factorization == "blocktt" else ((6,), (8,))
    layer = kit.theirs.FactorizedLinear(
        *sizes, factorization=factorization, rank=0.6, bias=bias, dtype=torch.float64
    )
    ours = kit.ours.from_tltorch(layer)
    assert type(ours) is (TTMatrixLinear if factorization == "blocktt" else Linear)
    agree(layer, ours, torch.randn(5, 6, dtype=torch.float64))


OURS = [
    (lambda: Linear(24, 16, rank=4), (5, 24)),
    (lambda: Linear(24, 16, rank=4, bias=False), (2, 3, 24)),
    (lambda: TTMatrixLinear(24, 16, rank=3), (5, 24)),
    (lambda: Conv1d(6, 8, 3, rank=3, padding=1), (2, 6, 9)),
    (lambda: Conv2d(6, 8, 3, rank=3, stride=2, dilation=2), (2, 6, 9, 9)),
    (lambda: Conv2d(6, 8, (3, 2), rank=2, modes=(0, 1, 2), padding=(1, 0)), (2, 6, 9, 9)),
    (lambda: Conv3d(6, 8, 3, rank=3, bias=False), (2, 6, 5, 5, 5)),
]


@pytest.mark.parametrize("implementation", ["factorized", "reconstructed"])
@pytest.mark.parametrize(("make", "shape"), OURS)
def test_layers_go_out_and_come_back(kit, make, shape, implementation):
    layer, inputs = make().double(), torch.randn(shape, dtype=torch.float64)
    theirs = kit.ours.to_tltorch(layer, implementation=implementation)
    agree(layer, theirs, inputs)
    back = kit.ours.from_tltorch(theirs)
    agree(layer, back, inputs)
    assert type(back) is type(layer)


def test_what_came_in_trains_with_tdlrt_and_folds(kit):
    torch.manual_seed(1)
    convolution = kit.theirs.FactorizedConv(3, 16, 3, order=2, factorization="tucker", rank=0.8, bias=True)
    convolution.reset_parameters(0.3)
    model = nn.Sequential(kit.ours.from_tltorch(convolution), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 2))
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.05, tolerance=0.3, core_steps=2)
    before = model[0].ranks
    inputs = torch.randn(32, 3, 6, 6)
    for _ in range(9):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), (inputs.mean((1, 2, 3)) > 0).long()).backward()
        optimizer.step()
    assert model[0].ranks != before
    torch.testing.assert_close(rf.fold(model)(inputs), model(inputs))


def test_what_has_no_counterpart_is_refused(kit):
    theirs, refused = kit.theirs, kit.ours
    for layer, words in (
        (theirs.TRL((4, 4), (2,), rank=2), "a TRL has no counterpart here"),
        (theirs.FactorizedLinear((2, 3), (4, 2), factorization="cp", rank=3), r"modes \(4, 2\) and \(2, 3\)"),
        (theirs.FactorizedLinear((2, 3), (4, 2), factorization="tucker", rank=0.5), "make a plain layer"),
        (theirs.FactorizedConv(4, 4, 3, order=2, rank=2, n_layers=2), "holds 2 weights"),
        (nn.Linear(2, 2), "a Linear has no counterpart"),
        (None, "a NoneType has no counterpart"),
    ):
        with pytest.raises(rf.OptionError, match=words):
            refused.from_tltorch(layer)
    for layer, words in (
        (Conv2d(4, 4, 3, rank=2, groups=2), "groups=2"),
        (Conv2d(4, 4, 3, rank=2, padding="same"), "padding='same'"),
        (Conv2d(4, 4, 3, rank=2, padding=1, padding_mode="circular"), "padding_mode='circular'"),
        (ConvTranspose2d(4, 4, 3, rank=2), "a ConvTranspose2d has no counterpart there"),
        (nn.Linear(2, 2), "a Linear has no counterpart there"),
    ):
        with pytest.raises(rf.OptionError, match=words):
            refused.to_tltorch(layer)


def test_its_examples(kit):
    check_doctests(kit.ours)

"""Layers with a weight R V: checks E2, E5 and E6, conversion, merging, and all that torch does with a module."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold import NonFiniteError, OptionError, SelectorError, ShapeError
from rankfold.convert import orthogonalize
from rankfold.layers import (
    NeuronLayout,
    OrthogonalWeight,
    merge_orthogonal,
    neuron_layout,
    orthogonal_matrices,
    orthogonal_weights,
    redraw_blocks,
)
from rankfold.linalg import ORTHOGONAL_MAPS, hyperspherical_energy, orthonormality_defect

EPS = torch.finfo(torch.float64).eps
FREE = [name for name in ORTHOGONAL_MAPS if name != "direct"]

LAYERS = {
    "linear": (lambda: nn.Linear(6, 9), (4, 6)),
    "linear without bias": (lambda: nn.Linear(6, 3, bias=False), (4, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), padding=1, padding_mode="circular"), (2, 4, 6, 5)),
    "conv2d in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2), (2, 4, 7, 7)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (2, 4, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 4, (1, 2, 3)), (2, 2, 3, 4, 5)),
    "transposed conv1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    "transposed conv2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, output_padding=1, stride=2),
        (2, 4, 5, 4),
    ),
    "transposed conv3d": (lambda: nn.ConvTranspose3d(2, 4, 2, groups=2), (1, 2, 3, 3, 3)),
}

every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
every_map = pytest.mark.parametrize("name", ORTHOGONAL_MAPS)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(12, 2, 6, 6, dtype=torch.float64), torch.arange(12) % 3


def shake(model: nn.Module) -> None:
    """Give every free matrix some value; those of map direct an orthogonal one."""
    for _, _, weight, free in orthogonal_weights(model):
        with torch.no_grad():
            value = torch.randn_like(free)
            free.copy_(
                torch.linalg.qr(value.to(torch.float32 if free.dtype.itemsize < 4 else free.dtype)).Q
                if weight.map == "direct"
                else value
            )


def neurons(module: nn.Module) -> Tensor:
    layout = neuron_layout(module)
    assert layout is not None
    return layout.neurons(module.weight.detach())


@every_map
@every_layer
def test_conversion_training_and_merging(make, shape, name: str) -> None:  # E2, E5
    layer = make().double()
    dense, x = copy.deepcopy(layer), torch.randn(shape, dtype=torch.float64)
    (row,) = orthogonalize(layer, name)
    before = dense(x).detach()
    rounding = 64 * EPS * float(before.abs().max())
    assert (row.name, row.kind, row.reason) == ("", type(dense).__name__, None)
    assert (layer(x) - before).abs().max() <= rounding  # R = I
    shake(layer)
    turned = layer(x).detach()
    assert (turned - before).abs().max() > 1e-3
    rotation = orthogonal_matrices(layer)[""]
    assert rotation.shape == (row.size, row.size)
    assert orthonormality_defect(rotation) <= 64 * row.size * EPS * 10
    # The definition, neuron by neuron: w = R v.
    for w, v in zip(neurons(layer), neurons(dense), strict=True):
        torch.testing.assert_close(w, rotation.detach() @ v, rtol=0, atol=1e-13)
    for power in (0, 1, 2):
        if len(neurons(dense)) > 1:
            start = hyperspherical_energy(neurons(dense), power)
            assert abs(hyperspherical_energy(neurons(layer), power) - start) < 1e-6 * abs(start)
    assert merge_orthogonal(layer) is layer
    assert type(layer) is type(dense)
    assert layer.state_dict().keys() == dense.state_dict().keys()
    assert layer.weight.shape == dense.weight.shape
    assert layer.weight.requires_grad
    assert torch.equal(layer(x), turned)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


@every_layer
def test_a_neuron_is_what_one_output_multiplies_its_inputs_with(make, shape) -> None:
    layer = make().double()
    layout = neuron_layout(layer)
    assert layout is not None
    rows = layout.neurons(layer.weight)
    assert torch.equal(layout.weight(rows), layer.weight)
    # Without one neuron, its output is the bias and no other output changes.
    x = torch.randn(shape, dtype=torch.float64)
    before = layer(x).detach()
    cut = rows.detach().clone()
    cut[1] = 0
    with torch.no_grad():
        layer.weight.copy_(layout.weight(cut))
    axis = -1 if isinstance(layer, nn.Linear) else 1
    bias = 0 if layer.bias is None else layer.bias.detach()[1]
    after = layer(x).detach()
    assert (after.select(axis, 1) - bias).abs().max() == 0
    kept = [i for i in range(len(rows)) if i != 1]
    index = torch.tensor(kept)
    torch.testing.assert_close(after.index_select(axis, index), before.index_select(axis, index))


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 3), max_size=3),
    st.booleans(),
)
def test_layouts_are_permutations(
    groups: int, inputs: int, outputs: int, kernel: list[int], transposed: bool
) -> None:
    channels = (groups * inputs, outputs) if transposed else (groups * outputs, inputs)
    layout = NeuronLayout((*channels, *kernel), groups, transposed)
    weight = torch.randn(layout.shape)
    rows = layout.neurons(weight)
    assert rows.shape == (groups * outputs, layout.fan_in)
    assert torch.equal(layout.weight(rows), weight)


@pytest.mark.parametrize(
    "optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]
)
@pytest.mark.parametrize("name", FREE)
def test_any_optimiser_trains_and_the_energy_stays(name: str, optimizer) -> None:
    model, (x, y) = network(), batch()
    energies = [hyperspherical_energy(neurons(m)) for m in model if neuron_layout(m)]
    lengths = [neurons(m).norm(dim=1) for m in model if neuron_layout(m)]
    orthogonalize(model, name)
    descent = optimizer(model.parameters(), lr=1.0 if optimizer is torch.optim.SGD else 0.01)
    losses = []
    for _ in range(60):
        descent.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        descent.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    merge_orthogonal(model)
    for m, energy, length in zip([m for m in model if neuron_layout(m)], energies, lengths, strict=True):
        assert abs(hyperspherical_energy(neurons(m)) - energy) < 1e-6 * energy
        torch.testing.assert_close(neurons(m).norm(dim=1), length)


@every_map
def test_gradients_of_the_free_matrix_are_those_of_its_definition(name: str) -> None:  # E8
    layer, x = nn.Linear(4, 3).double(), torch.randn(5, 4, dtype=torch.float64)
    for block in (None, 0.5):
        converted = copy.deepcopy(layer)
        orthogonalize(converted, name, block=block)
        shake(converted)
        listed = converted.parametrizations["weight"]
        weight = listed[0]

        def outputs(free: Tensor, weight: OrthogonalWeight = weight) -> Tensor:
            return x @ weight(free).mT

        assert torch.autograd.gradcheck(outputs, listed.original.detach().requires_grad_())


@every_map
def test_deepcopy_state_and_dtype(name: str) -> None:
    model, (x, _) = network(), batch()
    orthogonalize(model, name, block=0.5, generator=torch.Generator().manual_seed(1))
    shake(model)
    wanted = model(x)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), wanted)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    assert torch.equal(model(x), wanted)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = network()
    orthogonalize(other, name, block=0.5, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(other(x), wanted)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), wanted)
    single = copy.deepcopy(model).float()
    assert single[0].weight.dtype == torch.float32
    # Some hundred operations in float32.
    assert (single(x.float()) - wanted).abs().max() <= 1e3 * torch.finfo(torch.float32).eps
    merge_orthogonal(single)
    assert single[0].weight.dtype == torch.float32


def test_merging_a_copy_leaves_the_original_whole() -> None:
    model, (x, y) = network(), batch()
    orthogonalize(model, block=0.5)
    shake(model)
    twin = copy.deepcopy(model)
    wanted = model(x)
    merge_orthogonal(twin)
    assert torch.equal(twin(x), wanted)
    assert torch.equal(model(x), wanted)
    F.cross_entropy(model(x), y).backward()
    redraw_blocks(model)
    merge_orthogonal(model)
    assert type(model[0]) is type(twin[0]) is type(network()[0])
    torch.testing.assert_close(model(x), wanted)


def test_inference_mode_leaves_nothing_that_cannot_be_trained() -> None:
    model, (x, y) = network(), batch()
    with torch.inference_mode():
        orthogonalize(model, block=0.5)
        redraw_blocks(model)
    F.cross_entropy(model(x), y).backward()
    assert all(free.grad is not None for *_, free in orthogonal_weights(model))
    with torch.inference_mode():
        made_there = network()
    assert all("inference mode" in (row.reason or "") for row in orthogonalize(made_there))


@pytest.mark.parametrize("name", FREE)
def test_half_precision_turns_in_float32(name: str) -> None:
    model = nn.Sequential(nn.Linear(16, 8)).bfloat16()
    before = model[0].weight.detach().clone()
    orthogonalize(model, name)
    assert torch.equal(model[0].weight, before)
    shake(model)
    assert model[0].weight.dtype == torch.bfloat16
    assert orthonormality_defect(orthogonal_matrices(model)["0"]) <= 1e-5
    lengths = model[0].weight.detach().double().norm(dim=1)
    torch.testing.assert_close(lengths, before.double().norm(dim=1), rtol=2**-8, atol=0)


def test_autocast_does_not_reach_the_rotation() -> None:
    layer = nn.Linear(16, 8)
    orthogonalize(layer)
    shake(layer)
    wanted = layer.weight.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight, wanted)
        assert layer(torch.randn(2, 16)).dtype == torch.bfloat16


@every_map
@given(size=st.integers(3, 12), share=st.floats(0.01, 1.0), seed=st.integers(0, 10**6))
def test_an_episode_turns_some_coordinates(name: str, size: int, share: float, seed: int) -> None:  # E6
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(size, 5).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5, size, generator=generator, dtype=torch.float64))
    start = layer.weight.detach().clone()
    (row,) = orthogonalize(layer, name, block=share, generator=generator)
    assert row.size == min(size, max(2, round(share * size)))
    assert torch.equal(layer.weight, start)  # R = I is a no-op
    redraw_blocks(layer, generator=generator)
    assert torch.equal(layer.weight, start)
    ((_, _, weight, free),) = orthogonal_weights(layer)
    turned = weight.coordinates
    assert turned is not None
    assert len(set(turned.tolist())) == row.size
    with torch.no_grad():
        free.copy_(torch.linalg.qr(torch.randn(free.shape, generator=generator, dtype=free.dtype)).Q)
    after, rotation = layer.weight.detach().clone(), orthogonal_matrices(layer)[""].detach()
    rest = [i for i in range(size) if i not in turned.tolist()]
    assert torch.equal(after[:, rest], start[:, rest])
    assert torch.equal(rotation[rest], torch.eye(size, dtype=torch.float64)[rest])
    assert torch.equal(rotation[:, rest], torch.eye(size, dtype=torch.float64)[:, rest])
    torch.testing.assert_close(after, start @ rotation.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(after.norm(dim=1), start.norm(dim=1), rtol=1e-12, atol=0)
    for power in (0, 1, 2):
        energy = hyperspherical_energy(start, power)
        # The sum of logarithms may cancel; its terms do not exceed those at power 2.
        scale = max(abs(float(energy)), 1.0)
        assert abs(hyperspherical_energy(after, power) - energy) < 1e-6 * scale
    redraw_blocks(layer, generator=generator)
    torch.testing.assert_close(layer.weight, after, rtol=0, atol=1e-14)
    assert torch.equal(orthogonal_matrices(layer)[""], torch.eye(size, dtype=torch.float64))


def test_redrawing_drops_stale_momentum_and_keeps_the_parameters() -> None:
    model, (x, y) = network(), batch()
    orthogonalize(model, block=0.3, generator=torch.Generator().manual_seed(0))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    before = [weight.coordinates for _, _, weight, _ in orthogonal_weights(model)]
    outputs = model(x)
    redraw_blocks(model, generator=torch.Generator().manual_seed(1), optimizer=optimizer)
    torch.testing.assert_close(model(x), outputs)
    after = [weight.coordinates for _, _, weight, _ in orthogonal_weights(model)]
    assert not all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    free = {id(free) for *_, free in orthogonal_weights(model)}
    assert {id(p) for p in optimizer.state} == {id(p) for p in parameters} - free
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def test_the_same_generator_draws_the_same_blocks() -> None:
    drawn = []
    for seed in (0, 0, 1):
        layer = nn.Linear(40, 5)
        orthogonalize(layer, block=0.25, generator=torch.Generator().manual_seed(seed))
        drawn.append(layer.parametrizations["weight"][0].coordinates)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_assigned_weight_becomes_the_fixed_one() -> None:
    layer = nn.Linear(4, 3).double()
    orthogonalize(layer)
    shake(layer)
    value = torch.randn(3, 4, dtype=torch.float64)
    layer.weight = value
    assert torch.equal(layer.weight, value)
    assert not torch.equal(layer.parametrizations["weight"][0].neurons, value.zero_())
    with pytest.raises(ShapeError, match="allowed is"):
        layer.weight = torch.zeros(4, 3, dtype=torch.float64)


def test_frozen_weights_stay_frozen() -> None:
    layer = nn.Linear(4, 3)
    layer.weight.requires_grad_(False)
    orthogonalize(layer)
    assert not layer.parametrizations["weight"].original.requires_grad
    assert not merge_orthogonal(layer).weight.requires_grad


def test_torch_caches_and_removes_it() -> None:
    layer = nn.Linear(4, 3)
    orthogonalize(layer)
    with parametrize.cached():
        assert layer.weight is layer.weight
    shake(layer)
    weight = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    assert torch.equal(layer.weight, weight)
    assert "fan_in=4, map='cayley', block=2" in repr(OrthogonalWeight(NeuronLayout((3, 4)), block=2))


def test_selectors_and_reasons() -> None:
    class Special(nn.Linear):
        pass

    model = nn.ModuleDict(
        {
            "plain": nn.Linear(4, 4),
            "special": Special(4, 4),
            "words": nn.Embedding(5, 4),
            "attention": nn.MultiheadAttention(4, 2),
            "recurrent": nn.GRU(4, 4),
            "bilinear": nn.Bilinear(4, 4, 2),
            "lazy": nn.LazyLinear(4),
            "empty": nn.Linear(4, 4, device="meta"),
            "thin": nn.Conv2d(4, 4, 1, groups=4),
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
            "complex": nn.Linear(4, 4, dtype=torch.complex64),
            "one": nn.Linear(4, 4),
            "other": nn.Linear(4, 4),
            "norm": nn.LayerNorm(4),
        }
    )
    model["other"].weight = model["one"].weight
    rows = {row.name: row for row in orthogonalize(model, exclude="plain")}
    assert {name: row.size for name, row in rows.items() if row.reason is None} == {
        "special": 4,
        "attention.out_proj": 4,
    }
    for name, words in {
        "plain": "excluded",
        "words": "looked up",
        "attention": "computed by a parametrisation, or it has none",
        "recurrent": "has none of this name",
        "bilinear": "neither a linear layer nor a convolution",
        "lazy": "not initialised",
        "empty": "no data",
        "thin": "fan-in is 1",
        "normed": "parametrisation",
        "complex": "complex64",
        "one": "shares its weight with other",
        "other": "shares its weight with one",
    }.items():
        assert words in str(rows[name].reason), name
    assert "norm" not in rows
    again = {row.name: row.reason for row in orthogonalize(model, include="special")}
    assert "parametrisation" in str(again["special"])
    assert again["one"] == "not included"
    (half,) = orthogonalize(nn.Linear(4, 4).bfloat16(), "direct")
    assert "choose another map" in str(half.reason)


def test_a_reused_layer_is_converted_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model.append(model[0])
    (row,) = orthogonalize(model, include="2")
    assert (row.name, row.size) == ("0", 4)
    assert list(orthogonal_matrices(model)) == ["0"]


@pytest.mark.parametrize("fast", [False, True])
def test_attention_and_encoders_read_the_turned_weight(fast: bool) -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double()
    orthogonalize(model)
    shake(model)
    model.train(not fast)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    with torch.set_grad_enabled(not fast):
        turned = model(x)
        torch.testing.assert_close(merge_orthogonal(model)(x), turned, rtol=0, atol=1e-13)


def test_bad_arguments_change_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for arguments, error, words in (
        ({"map": "qr"}, OptionError, "known are cayley"),
        ({"block": 0.0}, OptionError, "share in"),
        ({"block": 1.5}, OptionError, "share in"),
        ({"block": True}, OptionError, "share in"),
        ({"block": float("nan")}, OptionError, "share in"),
        ({"block": "all"}, OptionError, "share in"),
        ({"include": "3"}, SelectorError, "include"),
    ):
        with pytest.raises(error, match=words):
            orthogonalize(model, **arguments)
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="'1'"):
        orthogonalize(model)
    assert type(model[0]) is type(model[1]) is nn.Linear
    for block in (1, 5, True, 2.0):
        with pytest.raises(OptionError, match=r"2\.\.4"):
            OrthogonalWeight(NeuronLayout((3, 4)), block=block)


def test_no_number_in_a_free_matrix_is_refused() -> None:
    layer = nn.Linear(4, 3)
    orthogonalize(layer)
    with torch.no_grad():
        layer.parametrizations["weight"].original[0, 1] = float("inf")
    with pytest.raises(NonFiniteError, match="cayley"):
        layer(torch.zeros(1, 4))

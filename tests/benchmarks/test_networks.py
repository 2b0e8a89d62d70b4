"""The networks reproduce their published figures, and what compresses them counts and keeps what it says."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import tensorly
import torch
from benchmarks._compress_chains import dense_layers
from benchmarks._compress_moments import output_moments
from benchmarks.compress_peers import PEERS, compress
from benchmarks.networks import NETWORKS, Examples, stories260k
from benchmarks.networks._cifar10 import cifar10
from torch import nn

ROOT = Path(os.environ.get("RANKFOLD_DATA", ""))
FILES = {
    "resnet20": "cifar10_resnet20.safetensors",
    "stories260k": "stories260k_samples.npz",
    "silero_vad_16k": "silero_speech_20s.npz",
}
# Parameters as published with the weights; the embedding and the output layer share theirs.
PARAMETERS = {"resnet20": 269_722, "stories260k": 260_032, "silero_vad_16k": 309_633}


@pytest.fixture(autouse=True)
def torch_backend_of_tensorly():
    with tensorly.backend_context("pytorch"):
        yield


@cache
def read(name):
    if not (ROOT / "weights" / FILES[name]).is_file():
        pytest.skip(f"RANKFOLD_DATA has no weights/{FILES[name]}")
    if name == "resnet20" and not (ROOT / "cifar10" / "test.webp").is_file():
        pytest.skip("RANKFOLD_DATA has no sheets of CIFAR-10")
    return NETWORKS[name].read(ROOT)


def calls(name):
    """Two small calls with random values."""
    if name == "stories260k":
        return [(torch.randint(0, 512, (2, 12)),), (torch.randint(0, 512, (3, 7)),)]
    if name == "silero_vad_16k":
        return [(0.1 * torch.randn(n, 576), torch.randn(n, 128), torch.randn(n, 128)) for n in (1, 3)]
    return [(torch.randn(n, 3, 32, 32),) for n in (1, 2)]


def flat(outputs):
    return torch.cat([part.flatten() for part in (outputs if isinstance(outputs, tuple) else (outputs,))])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_skeleton_has_the_parameters_and_the_layers_it_names(name):
    network = NETWORKS[name]
    model = network.skeleton()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert set(network.left_dense) <= set(dense_layers(model, ()))


@pytest.mark.parametrize("name", ["stories260k", "silero_vad_16k"])
def test_a_network_exports_with_any_batch(name):
    model = NETWORKS[name].skeleton().eval()
    small, large = calls(name)
    if name == "silero_vad_16k":
        small = large[:1] + large[1:]  # export takes a batch of one for a constant
    batch = torch.export.Dim.DYNAMIC
    exported = torch.export.export(model, small, dynamic_shapes=tuple({0: batch} for _ in small))
    other = tuple(torch.cat((part, part)) for part in small)
    torch.testing.assert_close(flat(exported.module()(*other)), flat(model(*other)), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_language_model_sees_no_later_tokens():
    model = stories260k().eval()
    tokens = torch.randint(0, 512, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 512
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6], rtol=1e-5, atol=1e-4)
    assert all(float(change) > 1e-2 for change in (before - after)[0, 6:].abs().amax(1))


def test_the_recurrent_cell_is_that_of_torch():
    cell = NETWORKS["silero_vad_16k"].skeleton().lstm_cell
    reference = nn.LSTMCell(128, 128)
    cell.load_state_dict(reference.state_dict())
    x, hidden, state = torch.randn(3, 4, 128)
    for ours, its in zip(cell(x, hidden, state), reference(x, (hidden, state)), strict=True):
        torch.testing.assert_close(ours, its)


def test_the_images_are_classified_as_published():
    data = read("resnet20")
    network = NETWORKS["resnet20"]
    # The published 91.73 % with three standard errors of a share over 500 images.
    assert network.evaluate(network.build(data), data, 500)["accuracy"] == pytest.approx(0.9173, abs=0.037)
    (_, training), (pixels, labels) = cifar10(ROOT)
    assert len(training) == 5000
    assert tuple(pixels.shape) == (10_000, 3, 32, 32)
    assert torch.bincount(labels).tolist() == [1000] * 10


@pytest.mark.slow
def test_all_images_are_classified_as_published():
    data, network = read("resnet20"), NETWORKS["resnet20"]
    # Two images for the rounding of a device.
    result = network.evaluate(network.build(data), data, None)
    assert result["accuracy"] == pytest.approx(0.9173, abs=2e-4)


def test_some_tokens_have_about_the_loss_of_all():
    data, network = read("stories260k"), NETWORKS["stories260k"]
    result = network.evaluate(network.build(data), data, 16)
    assert result["loss"] == pytest.approx(1.2962, abs=0.05)
    assert result["agreement"] == 1


@pytest.mark.slow
def test_all_tokens_have_their_loss():
    data, network = read("stories260k"), NETWORKS["stories260k"]
    both = Examples(
        (torch.cat((data.calibration.inputs[0], data.test.inputs[0])),),
        torch.cat((data.calibration.targets, data.test.targets)),
    )
    assert len(both.targets) == 256
    result = network.evaluate(network.build(data), replace(data, test=both), None)
    assert result["loss"] == pytest.approx(1.2962, abs=5e-5)


def test_speech_is_found_as_by_the_reference():
    data, network = read("silero_vad_16k"), NETWORKS["silero_vad_16k"]
    result = network.evaluate(network.build(data), data, None)
    assert result["correlation"] > 1 - 1e-5
    assert result["equal_decisions"] == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_calibration_gives_the_examples_asked_for_and_a_loss_with_a_gradient(name):
    data, network = read(name), NETWORKS[name]
    model = network.build(data)
    batches = list(network.calibration(data, network.batch + 1))
    assert [len(targets) for _, targets in batches] == [network.batch, 1]
    inputs, targets = batches[-1]
    network.loss(model(*inputs), targets).backward()
    first = next(layer for layer in dense_layers(model, network.left_dense).values())
    assert first.weight.grad is not None
    assert float(first.weight.grad.abs().max()) > 0


def test_states_of_calibration_are_those_of_the_stream():
    data, network = read("silero_vad_16k"), NETWORKS["silero_vad_16k"]
    found = network.build(data)(*data.calibration.inputs)[0]
    torch.testing.assert_close(found, data.test.targets[: len(found)], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("peer", [name for name in PEERS if " cp" not in name])
def test_full_rank_keeps_the_outputs(name, peer):
    network = NETWORKS[name]
    model = network.skeleton().eval()
    examples = calls(name)
    # A share of 8 is beyond what any of them needs.
    full = compress(PEERS[peer], model, 8.0, network.left_dense, examples)
    for inputs in examples:
        wanted = flat(model(*inputs)).detach()
        scale = float(wanted.abs().max())
        torch.testing.assert_close(flat(full.model(*inputs)).detach(), wanted, rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize("peer", PEERS)
def test_the_share_is_kept_and_what_is_left_dense_stays(peer):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.Flatten(2),
        nn.Linear(16, 20, bias=False),
    )
    before = sum(parameter.numel() for parameter in model.parameters())
    dense = model[1].weight.numel() + model[3].weight.numel()
    x = torch.randn(5, 3, 10, 10)
    result = compress(PEERS[peer], model, 0.5, ("0",), [(x,)])
    counted = sum(parameter.numel() for parameter in result.model.parameters())
    assert result.parameters == counted
    assert result.share == pytest.approx(1 + (counted - before) / dense)
    assert 0.3 < result.share <= 0.5
    assert torch.equal(result.model[0].weight, model[0].weight)
    assert result.model(x).shape == model(x).shape
    assert isinstance(model[1], nn.Conv2d)


def test_moments_are_those_of_the_inputs_seen_through_the_weight():
    layer = nn.Conv1d(3, 5, 3, stride=2, padding=1)
    x = torch.randn(4, 3, 9)
    matrix = layer.weight.detach().flatten(1).double()
    windows = (
        nn.functional.pad(x, (1, 1)).unfold(2, 3, 2).permute(1, 3, 0, 2).flatten(2).flatten(0, 1).double()
    )
    expected = matrix @ windows @ windows.mT @ matrix.mT
    found = output_moments(nn.Sequential(layer), {"0": layer}, [(x[:1],), (x[1:],)])["0"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

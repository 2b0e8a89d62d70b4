"""Where the machine's speeds come from, and which library multiplies matrices."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rankfold.layers import Linear
from rankfold.layers._machine import Machine, _known, calibrate, machine_for
from rankfold.linalg import _gemm

TYPICAL_CPU = Machine(2.3e11, 1.2e10, 1e-5)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The path that RANKFOLD_MACHINE names; nothing read before or after counts."""
    path = tmp_path / "folder" / "machine.json"
    monkeypatch.setenv("RANKFOLD_MACHINE", str(path))
    _known.cache_clear()
    yield path
    monkeypatch.undo()
    _known.cache_clear()


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_without_a_file_a_typical_machine_is_assumed(stored):
    assert machine_for("cpu") == TYPICAL_CPU
    assert machine_for("cuda").flops > machine_for("cpu").flops
    assert machine_for("xpu") == machine_for("cuda")
    assert not stored.exists()


def test_a_stored_machine_is_read(stored):
    write(stored, json.dumps({"cpu": {"flops": 1e9, "bandwidth": 2e9, "overhead": 3e-6}}))
    assert machine_for("cpu") == Machine(1e9, 2e9, 3e-6)
    assert machine_for("cuda").flops == 6e13


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"cpu": {"flops": 1e9, ',
        "[]",
        "null",
        '{"cpu": 3}',
        '{"cpu": {"flops": 1e9}}',
        '{"cpu": {"flops": 1e9, "bandwidth": 1e9, "overhead": 1e-6, "other": 1}}',
        '{"cpu": {"flops": "fast", "bandwidth": 1e9, "overhead": 1e-6}}',
        '{"cpu": {"flops": -1e9, "bandwidth": 1e9, "overhead": 1e-6}}',
        '{"cpu": {"flops": 1e9, "bandwidth": 0, "overhead": 1e-6}}',
        '{"cpu": {"flops": NaN, "bandwidth": 1e9, "overhead": 1e-6}}',
        pytest.param('{"cpu": {"flops": 1e9, "bandwidth": NaN, "overhead": 1e-6}}', id="nan-second"),
        pytest.param(
            '{"cpu": {"flops": 1' + "0" * 400 + ', "bandwidth": 1, "overhead": 1}}',
            id="huge-number",
        ),
        pytest.param("[" * 100_000, id="deep"),
        b"\xff\xfe\x00",
    ],
)
def test_a_file_that_is_not_ours_changes_nothing(stored, content):
    write(stored, content)
    assert machine_for("cpu") == TYPICAL_CPU
    layer = Linear(12, 10, rank=3)
    assert layer(torch.ones(2, 12)).shape == (2, 10)


def test_a_folder_in_place_of_the_file_changes_nothing(stored):
    stored.mkdir(parents=True)
    assert machine_for("cpu") == TYPICAL_CPU


def test_calibration_is_written_read_and_forgotten_with_its_file(stored):
    assert machine_for("cpu") == TYPICAL_CPU
    machine = calibrate()
    assert min(machine.flops, machine.bandwidth, machine.overhead) > 0
    assert machine_for("cpu") == machine
    assert [path.name for path in stored.parent.iterdir()] == ["machine.json"]
    assert json.loads(stored.read_text())["cpu"]["flops"] == machine.flops
    _known.cache_clear()  # as in a later process
    assert machine_for("cpu") == machine
    stored.unlink()
    _known.cache_clear()
    assert machine_for("cpu") == TYPICAL_CPU


def test_calibration_leaves_random_numbers_alone(stored):
    state = torch.get_rng_state()
    calibrate()
    assert torch.equal(torch.get_rng_state(), state)


def test_calibration_measures_float32_whatever_the_default_is(stored, monkeypatch):
    kinds = set()
    convolve = F.conv2d

    def spy(input, *rest, **options):
        kinds.add(input.dtype)
        return convolve(input, *rest, **options)

    monkeypatch.setattr(F, "conv2d", spy)
    torch.set_default_dtype(torch.float64)
    try:
        calibrate()
    finally:
        torch.set_default_dtype(torch.float32)
    assert kinds == {torch.float32}


def test_a_folder_that_cannot_be_written_is_an_os_error(stored):
    stored.mkdir(parents=True)
    with pytest.raises(OSError):
        calibrate()
    assert list(stored.parent.iterdir()) == [stored]  # no half of a file is left behind


def test_what_is_calibrated_decides(stored):
    """A machine on which only calls cost anything runs small layers dense in evaluation."""
    write(stored, json.dumps({"cpu": {"flops": 1e18, "bandwidth": 1e18, "overhead": 1.0}}))
    layer = Linear(64, 64, rank=2).eval()
    with torch.no_grad():
        layer(torch.ones(8, 64))
        assert layer._sides(torch.ones(8, 64)) == ()
    write(stored, json.dumps({"cpu": {"flops": 1.0, "bandwidth": 1e18, "overhead": 1e-30}}))
    _known.cache_clear()
    with torch.no_grad():  # only arithmetic costs
        assert layer._sides(torch.ones(8, 64)) != ()


def test_without_a_home_a_typical_machine_is_assumed(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RANKFOLD_MACHINE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    _known.cache_clear()
    assert machine_for("cpu") == TYPICAL_CPU


@pytest.mark.parametrize("wanted", ["mkl", "onednn", "", "nonsense"])
def test_the_library_of_products_can_be_chosen(monkeypatch, wanted):
    used = []
    onednn = _gemm._onednn
    monkeypatch.setattr(_gemm, "_onednn", lambda *operands: used.append(1) or onednn(*operands))
    monkeypatch.setenv("RANKFOLD_GEMM", wanted)
    _gemm._onednn_is_faster.cache_clear()
    torch.manual_seed(0)
    a, b, bias = torch.randn(200, 300), torch.randn(300, 100), torch.randn(100)
    try:
        available = _gemm._available()
        _gemm._onednn_is_faster()  # the measurement, if any, calls both libraries
        used.clear()
        found = _gemm.product(a, b, bias)
    finally:
        _gemm._onednn_is_faster.cache_clear()
    expected = (a.double() @ b.double() + bias.double()).float()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    if wanted in ("mkl", "onednn"):
        assert bool(used) == (wanted == "onednn" and available)


def test_products_that_need_a_gradient_or_other_precision_stay_with_torch(monkeypatch):
    monkeypatch.setattr(_gemm, "_onednn", lambda *operands: pytest.fail("no gradient would come back"))
    monkeypatch.setattr(_gemm, "_onednn_is_faster", lambda: True)
    a, b = torch.randn(200, 300), torch.randn(300, 100)
    _gemm.product(a, b.clone().requires_grad_()).sum().backward()
    _gemm.product(a.double(), b.double())
    _gemm.product(a[:2], b[:, :2])

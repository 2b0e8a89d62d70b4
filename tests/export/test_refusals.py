"""Every refusal is one sentence, and leaves the files as they were."""

import copy
import dataclasses
import logging
import sys

import pytest
import torch
from tests.export.networks import Calls, FixedBatch
from torch import nn
from torch.nn import functional

import rankfold as rf
from rankfold.export import _onnx_graph, _program, _verify


@pytest.fixture
def needs_onnx():
    pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")


def refused(tmp_path, export, model, example, message, **options):
    """The sentence, after a check that an older file is as it was."""
    path = tmp_path / "net"
    path.write_text("older")
    with pytest.raises(rf.RankfoldError, match=message) as raised:
        export(model, example, path, **options)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(export.__name__)
    return raised.value


def own_svd(x):
    return torch.linalg.svdvals(x.unsqueeze(1) * x.unsqueeze(2))


def branch(x):
    return x if x.sum() > 0 else -x


def pairs(x):
    return x.reshape(-1, 2, 4)


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (
            FixedBatch(),
            torch.randn(2, 6),
            "does not take batches of every size .*constant.*dynamic_batch=False",
        ),
        (Calls(pairs), torch.randn(4, 6), "does not take batches of every size|fails on 1"),
        (Calls(branch), torch.randn(2, 6), "torch.export cannot trace the model .*data-dependent"),
        (Calls(functional.dropout), torch.randn(2, 6), "two runs of the model itself differ"),
        (Calls(torch.log), -torch.ones(2, 6), "holds NaN in the model itself"),
        (nn.Linear(6, 4), torch.randn(2, 5), "the model fails on example_inputs .*cannot be multiplied"),
        (
            nn.Linear(6, 4),
            {"inputs": torch.randn(2, 6)},
            "the model fails on example_inputs .*unexpected keyword",
        ),
        (nn.Linear(6, 4, device="meta"), torch.randn(2, 6), "cannot be copied to the CPU"),
    ],
    ids=["fixed", "pairs", "branch", "random", "nan", "shape", "name", "meta"],
)
def test_models(tmp_path, model, example, message):
    assert isinstance(refused(tmp_path, rf.export_program, model, example, message), rf.ExportError)


def test_the_sentence_is_all_that_is_said(tmp_path, capfd):
    """PyTorch logs a traceback of its own where shapes do not fit."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("torch").addHandler(handler)
    try:
        refused(tmp_path, rf.export_program, nn.Linear(6, 4), torch.randn(2, 5), "fails on example_inputs")
    finally:
        logging.getLogger("torch").removeHandler(handler)
    assert records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (3, "has no tensor"),
        ((), "has no tensor"),
        (torch.tensor(1.0), r"a first tensor of shape \(\)"),
        (torch.zeros(0, 6), r"a first tensor of shape \(0, 6\)"),
    ],
)
def test_examples_without_rows(tmp_path, example, message):
    assert isinstance(refused(tmp_path, rf.export_program, nn.Linear(6, 4), example, message), rf.OptionError)


@pytest.mark.parametrize("tolerance", [-0.1, 1, float("nan")])
def test_tolerances(tmp_path, tolerance):
    error = refused(
        tmp_path, rf.export_program, nn.Linear(6, 4), torch.randn(2, 6), "tolerance is", tolerance=tolerance
    )
    assert isinstance(error, rf.OptionError)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(rf.CheckpointError, match="name a folder that exists"):
        rf.export_program(nn.Linear(6, 4), torch.randn(2, 6), tmp_path / "nowhere" / "net.pt2")


@pytest.mark.usefixtures("needs_onnx")
@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (Calls(own_svd), torch.randn(2, 6), "cannot translate the model to ONNX .*svd"),
        (
            Calls(functional.gelu).double(),
            torch.randn(2, 6).double(),
            "onnxruntime cannot run the model .*Erf",
        ),
        (nn.Linear(6, 4).bfloat16(), torch.randn(2, 6).bfloat16(), r"is bfloat16.*\.float\(\)"),
        (Calls(lambda x: (x, 3)), torch.randn(2, 6), "output 1 of the model is 3"),
    ],
    ids=["operation", "runtime", "bfloat16", "number"],
)
def test_what_onnx_has_not(tmp_path, model, example, message):
    assert isinstance(refused(tmp_path, rf.export_onnx, model, example, message), rf.ExportError)


@pytest.mark.usefixtures("needs_onnx")
def test_weights_that_one_onnx_file_does_not_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx_graph, "_LARGEST_FILE", 4 * 28)  # the weights of the layer, which must be fewer
    message = "the weights take 112 bytes and one ONNX file holds less than 112"
    refused(tmp_path, rf.export_onnx, nn.Linear(6, 4), torch.randn(2, 6), message)


@pytest.mark.usefixtures("needs_onnx")
def test_an_opset_that_is_too_old(tmp_path):
    message = "gives operators of opset [0-9]+ where 9 was asked for"
    refused(tmp_path, rf.export_onnx, nn.Linear(6, 4), torch.randn(2, 6), message, opset=9)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra(tmp_path, monkeypatch, package):
    pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"the package {package} cannot be imported.*pip install 'rankfold\[onnx\]'"
    refused(tmp_path, rf.export_onnx, nn.Linear(6, 4), torch.randn(2, 6), message)


@pytest.mark.parametrize(("change", "tolerance"), [(1e-3, None), (1e-3, 1e-5), (float("nan"), 0.5)])
def test_a_file_that_computes_something_else(tmp_path, monkeypatch, change, tolerance):
    monkeypatch.setattr(_program, "trace", tracing_another_network(change))
    message = r"differs from the model's by [0-9.e-]+ of its largest entry|differs from the model's by inf|holds NaN"
    refused(tmp_path, rf.export_program, nn.Linear(6, 4), torch.randn(2, 6), message, tolerance=tolerance)


def test_a_difference_that_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(_program, "trace", tracing_another_network(1e-3))
    record = rf.export_program(nn.Linear(6, 4), torch.randn(2, 6), tmp_path / "net", tolerance=0.01)
    assert 1e-4 < record.relative_difference < 1e-2 == record.tolerance


def tracing_another_network(change):
    def trace(where, model, example_inputs, *, dynamic_batch):
        traced = _trace(where, model, example_inputs, dynamic_batch=dynamic_batch)
        network = copy.deepcopy(traced.network)
        with torch.no_grad():
            network.bias += change
        return dataclasses.replace(traced, network=network)

    _trace = _program.trace
    return trace


@pytest.mark.parametrize(
    ("reference", "found", "expected"),
    [
        (torch.tensor([2.0, -4.0]), torch.tensor([2.5, -4.0]), (0.5, 0.125)),
        (torch.tensor([0.0]), torch.tensor([0.5]), (0.5, 0.5)),
        (torch.tensor([1.0, -float("inf")]), torch.tensor([1.0, -float("inf")]), (0.0, 0.0)),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, float("nan")]), (float("inf"), float("inf"))),
        (torch.tensor([1.0, float("inf")]), torch.tensor([1.0, 2.0]), (float("inf"), float("inf"))),
        (torch.tensor([1 + 1j]), torch.tensor([1 + 2j]), (1.0, 0.5**0.5)),
        (torch.zeros(0), torch.zeros(0), (0.0, 0.0)),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), (0.0, 0.0)),
        (None, None, (0.0, 0.0)),
    ],
)
def test_differences(reference, found, expected):
    assert _verify._difference("output", reference, found) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reference", "found", "message"),
    [
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "whole numbers"),
        (torch.zeros(2), torch.zeros(2, 1), "shape"),
        (torch.zeros(2), torch.zeros(2).double(), "float64"),
        (torch.zeros(2), None, "None in the exported file"),
        (3, 4, "4 in the exported file, 3 in the model"),
    ],
)
def test_outputs_that_are_others(reference, found, message):
    with pytest.raises(rf.ExportError, match=message):
        _verify._difference("output", reference, found)

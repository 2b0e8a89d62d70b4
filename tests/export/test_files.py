"""What is in the files, and whether it computes what the model does."""

import pytest
import torch
from tests.convert.models import LanguageModel
from tests.export.conftest import assert_same_outputs, run_onnx, run_program
from tests.export.networks import Convolutions, FixedBatch, Scaled
from torch import nn

import rankfold as rf
from rankfold.models import MODELS, build_model


def convolution_inputs(rows):
    return torch.randn(rows, 8, 9), torch.randn(rows, 8, 6, 6), torch.randn(rows, 8, 4, 4, 4)


def tokens(rows):
    return (torch.randint(0, 50, (rows, 7)),)


def factorised(network, rank=0.5):
    rf.factorize(network, rank)
    for module in network.modules():  # statistics that matter
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def exported(export, model, example, path, **options):
    if export is rf.export_onnx:
        pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    return export(model, example, path, **options)


@pytest.mark.parametrize("export", [rf.export_program, rf.export_onnx])
@pytest.mark.parametrize(
    ("build", "inputs"), [(Convolutions, convolution_inputs), (LanguageModel, tokens)], ids=["conv", "tokens"]
)
def test_layers(export, build, inputs, tmp_path, capfd):
    model = factorised(build())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "net.pt2"
    record = exported(export, model, inputs(3), path)
    assert record.path == path
    assert record.size_bytes == path.stat().st_size
    assert record.batch_sizes == (3, 1, 4)
    assert record.dynamic_batch
    assert record.relative_difference <= record.tolerance < 1e-4
    run = run_program if export is rf.export_program else run_onnx
    for rows in (1, 2, 7):
        given = inputs(rows)
        assert_same_outputs(rf.densify(model), run(path, given), given)
    assert capfd.readouterr() == ("", "")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert list(tmp_path.iterdir()) == [path]


FAST = [("resnet20", rf.export_program), ("mlp", rf.export_onnx)]


@pytest.mark.parametrize(
    ("name", "export"),
    [
        pytest.param(name, export, marks=() if (name, export) in FAST else pytest.mark.slow)
        for name in MODELS
        for export in (rf.export_program, rf.export_onnx)
    ],
)
def test_reference_networks(name, export, tmp_path):
    model = factorised(build_model(name))
    path = tmp_path / "net.pt2"
    record = exported(export, model, torch.randn(1, *MODELS[name].input_shape), path)
    print(f"{name}: {record}")  # shown by pytest -s
    run = run_program if export is rf.export_program else run_onnx
    given = (torch.randn(5, *MODELS[name].input_shape),)
    assert_same_outputs(rf.densify(model), run(path, given), given)


@pytest.mark.parametrize("export", [rf.export_program, pytest.param(rf.export_onnx, marks=pytest.mark.slow)])
def test_half_precision(export, tmp_path):
    model = factorised(nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))).half()
    record = exported(export, model, torch.randn(2, 8, 9, 9).half(), tmp_path / "net")
    # One product after the other rounds to half precision: a few eps of float16, 1e-3.
    assert record.relative_difference < 0.01 < record.tolerance < 0.1


def test_a_model_that_is_one_factorised_layer(tmp_path):
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model, 2)
    rf.export_program(model[0], torch.randn(2, 20), tmp_path / "net.pt2")
    given = (torch.randn(4, 20),)
    assert_same_outputs(model, run_program(tmp_path / "net.pt2", given), given)


def test_names_of_onnx(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs rankfold[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    model = factorised(Scaled(), 3)
    example = {"negate": True, "mask": torch.randn(5, 5), "inputs": torch.randn(3, 6), "scale": 3}
    # The batch is that of the first tensor of the example; here this is the mask, which fixes it.
    with pytest.raises(rf.ExportError, match="does not take batches of every size"):
        rf.export_onnx(model, example, tmp_path / "net.onnx")
    example = {"inputs": example["inputs"], **example}
    record = rf.export_onnx(model, example, tmp_path / "net.onnx", opset=18)
    graph = onnx.load(tmp_path / "net.onnx")
    assert record.opset == graph.opset_import[0].version == 18
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.input, *graph.graph.output)
    }
    assert shapes == {
        "inputs": ["batch", 6],
        "mask": [5, 5],
        "output_scores": ["batch", 5],
        "output_best_0": ["batch"],
        "output_best_1": [],
    }
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    given = torch.randn(9, 6)
    found = session.run(None, {"mask": example["mask"].numpy(), "inputs": given.numpy()})
    expected = model.eval()(given, mask=example["mask"], scale=3, negate=True)
    assert_same_outputs(lambda_module(expected["scores"]), [torch.from_numpy(found[0])], ())
    assert found[1].tolist() == expected["best"][0].tolist()


def lambda_module(value):
    class Constant(nn.Module):
        def forward(self):
            return value.detach()

    return Constant()


def test_neither_data_nor_sources_are_in_the_file(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    model = factorised(Scaled(), 3)
    marker = 12345.678
    example = {"inputs": torch.full((3, 6), marker), "mask": torch.eye(5)}
    for export, name in ((rf.export_program, "net.pt2"), (rf.export_onnx, "net.onnx")):
        export(model, example, tmp_path / name, tolerance=0.01)
        content = (tmp_path / name).read_bytes()
        assert example["inputs"].numpy().tobytes()[:12] not in content
        assert b"networks.py" not in content
        assert b"/rankfold/" not in content


def test_a_fixed_batch(tmp_path):
    record = rf.export_program(FixedBatch(), torch.randn(2, 6), tmp_path / "net.pt2", dynamic_batch=False)
    assert record.batch_sizes == (2,)
    assert not record.dynamic_batch
    with pytest.raises(Exception, match="shape"):
        run_program(tmp_path / "net.pt2", (torch.randn(3, 6),))


def test_a_batch_of_one_stays_free(tmp_path):
    record = rf.export_program(nn.Linear(6, 4), torch.randn(1, 6), tmp_path / "net.pt2")
    assert record.batch_sizes == (1, 2)
    assert run_program(tmp_path / "net.pt2", (torch.randn(5, 6),))[0].shape == (5, 4)


@pytest.mark.parametrize(
    "context",
    [torch.inference_mode(), torch.no_grad(), torch.autocast("cpu", torch.bfloat16)],
    ids=["inference", "no_grad", "autocast"],
)
def test_inside_a_context(context, tmp_path):
    model = nn.Linear(6, 4)
    with context:
        rf.export_program(model, torch.randn(2, 6), tmp_path / "net.pt2")
    given = (torch.randn(3, 6),)
    assert_same_outputs(model, run_program(tmp_path / "net.pt2", given), given)

"""A check of an exported file that shares no code with the library's own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

EPS = torch.finfo(torch.float32).eps


def run_program(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        outputs = torch.export.load(path).module()(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def run_onnx(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_inputs()]
    return [
        torch.from_numpy(y)
        for y in session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    ]


def assert_same_outputs(network: nn.Module, found: list[Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Within a few hundred eps of the largest entry, which sums of some hundred terms in several layers may lose."""
    with torch.no_grad():
        outputs = network.eval()(*inputs)
    expected = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    for a, b in zip(expected, found, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 300 * EPS * float(a.abs().max())

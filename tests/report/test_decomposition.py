"""The live display and the figures of a decomposition."""

import io

import pytest
import torch
from rich.console import Console

from rankfold._decomposition_file import load_decomposition, save_decomposition
from rankfold._errors import CheckpointError
from rankfold.decompose import CPDecomposition, TracePoint
from rankfold.formats import CP, TT, TTMatrix, Tucker
from rankfold.report import (
    DecompositionDisplay,
    decomposition_report,
    decomposition_summary,
    draw_decomposition,
)

POINT = TracePoint(1.25, 0.03125, "als", 4)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_display_is_for_terminals_only(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    stopping = False
    with DecompositionDisplay(console, lambda: stopping) as display:
        display.update(POINT)
        stopping = True
    shown = console.file.getvalue()
    assert ("stopping; again to leave at once" in shown) == terminal
    assert ("als   rank 4   relative error 0.03125   1.2 s" in shown) == terminal
    assert terminal or shown == ""


def test_no_components_at_all(tmp_path):
    empty = CP(torch.zeros(0), (torch.zeros(3, 0), torch.zeros(4, 0)))
    result = CPDecomposition(empty, float("nan"), "none")
    console = Console(file=io.StringIO(), width=80)
    console.print(decomposition_report(result, "zeros", "found"))
    assert "0 (found)" in console.file.getvalue()
    summary = decomposition_summary(result)
    assert summary["relative_error"] is None
    assert summary["shares"] == []
    assert draw_decomposition(result, tmp_path) is None


@pytest.mark.parametrize(
    "tensor",
    [
        CP(torch.rand(2), (torch.rand(3, 2), torch.rand(2, 4).mT)),
        Tucker(torch.rand(2, 3, 4, dtype=torch.float64), (torch.rand(5, 2, dtype=torch.float64), None, None)),
        TT((torch.rand(1, 3, 2), torch.rand(2, 4, 1))),
        TTMatrix((torch.rand(1, 3, 2, 2), torch.rand(2, 4, 3, 5), torch.rand(5, 1, 2, 1))),
    ],
    ids=["cp", "tucker", "tt", "tt_matrix"],
)
def test_files_give_back_what_they_were_given(tensor, tmp_path):
    save_decomposition(tensor, tmp_path / "x.safetensors")
    loaded = load_decomposition(tmp_path / "x.safetensors")
    assert type(loaded) is type(tensor)
    assert loaded.shape == tensor.shape
    for one, other in zip(loaded.tensors, tensor.tensors, strict=True):
        assert torch.equal(one, other)


def test_files_that_hold_no_decomposition(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_decomposition(path)
    path.write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        load_decomposition(path)
    save_file({"weights": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="holds no decomposition"):
        load_decomposition(path)
    header = '{"version": "rankfold-1", "decomposition": {"format": "cp", "shape": [3, 4]}}'
    save_file({"weights": torch.ones(2)}, path, {"rankfold": header})
    with pytest.raises(CheckpointError, match=r"damaged \('factor_0'\)"):
        load_decomposition(path)
    save_file(
        {"weights": torch.ones(2), "factor_0": torch.ones(3, 2), "factor_1": torch.ones(5, 2)},
        path,
        {"rankfold": header},
    )
    with pytest.raises(CheckpointError, match=r"the factors give \(3, 5\), the header says \[3, 4\]"):
        load_decomposition(path)
    header = header.replace("cp", "tt_matrix")
    cores = {"core_0": torch.ones(1, 3, 2, 5), "core_2": torch.ones(5, 1, 2, 1)}
    save_file(cores, path, {"rankfold": header})
    with pytest.raises(CheckpointError, match=r"damaged \('core_1'\)"):
        load_decomposition(path)
    with pytest.raises(CheckpointError, match="got Tensor; pass a CP, Tucker, TT or TTMatrix"):
        save_decomposition(torch.ones(3, 4), path)

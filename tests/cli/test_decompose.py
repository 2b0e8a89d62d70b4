"""``rankfold decompose``, with a solver whose answers the tests decide."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rankfold._decomposition_file import load_decomposition
from rankfold.cli import _decompose, main
from rankfold.cli._report_decomposition import read_decomposition
from rankfold.decompose import (
    Agreement,
    CPDecomposition,
    Decomposition,
    Degeneracy,
    RankStep,
    TracePoint,
    _memory,
)
from rankfold.formats import CP, TT, Tucker

SHAPE = (5, 4, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.normal(size=SHAPE))
    return tmp_path


@pytest.fixture
def solver(monkeypatch):
    """What ``cp``, ``tucker`` and ``tt`` were called with; ``answer`` replaces fields of the result of cp."""

    class Solver:
        calls = ()
        answer = {}  # noqa: RUF012
        before = staticmethod(lambda: None)

    noted = Solver()

    def trace(callback, rank):
        points = []
        for step in range(1, 4):
            points.append(TracePoint(step / 10, 1 / step, "fake", rank))
            if step == 2:
                noted.before()
            if callback is not None and callback(points[-1]) is True:
                break
        return tuple(points)

    def cp(x, rank=None, **options):
        noted.calls += (("cp", x, rank, options),)
        found = rank or 2
        factors = tuple(torch.ones(n, found, dtype=x.dtype, device=x.device) for n in x.shape)
        weights = torch.arange(found, 0, -1, dtype=x.dtype, device=x.device)
        points = trace(options["callback"], found)
        return CPDecomposition(
            **{
                "tensor": CP(weights, factors),
                "relative_error": points[-1].relative_error,
                "method": "fake",
                "trace": points,
                **noted.answer,
            }
        )

    def tucker(x, ranks=None, **options):
        noted.calls += (("tucker", x, ranks, options),)
        points = trace(options["callback"], 2)
        return Decomposition(Tucker.from_dense(x, ranks=ranks), points[-1].relative_error, "hosvd", points)

    def tt(x, ranks=None, **options):
        noted.calls += (("tt", x, ranks, options),)
        cores = tuple(torch.ones(1, n, 1, dtype=x.dtype) for n in x.shape)
        return Decomposition(TT(cores), 0.25, "tt-svd")

    for name, function in (("cp", cp), ("tucker", tucker), ("tt", tt)):
        monkeypatch.setattr(_decompose, name, function)
    return noted


def decompose(*words):
    return main(["decompose", *words, "--device", "cpu"])


def failure(capsys):
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("rankfold: ")
    return captured.err


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_search_for_the_rank(solver, folder, capsys):
    path = (RankStep(1, 0.9, 10.5, 40.0), RankStep(2, 0.1, -3.25, 7.5), RankStep(3, float("nan"), 4.0, 0.5))
    solver.answer = {"agreement": Agreement(5, 3, False), "rank_path": path, "core_consistency": 98.76}
    assert decompose("x.npy", "--out", "run", "--seed", "7") == 0
    out = capsys.readouterr().out
    assert out.startswith("x.npy, 5x4x3, float64\n")
    assert "2 (found)" in out
    assert "confirmed: 3 of 5 independent starts found these components" in out
    assert "98.8 %" in out
    assert ["2", "0.1", "7.5", "-3.2", "chosen"] in [line.split() for line in out.splitlines()]
    assert ["1", "2", "80.0%"] in [line.split() for line in out.splitlines()]
    assert out.endswith(f"results: run\npage: {Path('run') / 'report.html'}\n")
    assert "cancel" not in out
    run = folder / "run"
    assert sorted(file.name for file in run.iterdir()) == [
        "components.png",
        "factors.safetensors",
        "mode_0.csv",
        "mode_1.csv",
        "mode_2.csv",
        "rank_path.png",
        "report.html",
        "summary.json",
    ]
    told = summary(run)
    assert (told["format"], told["shape"], told["rank"], told["dtype"]) == ("cp", [5, 4, 3], 2, "float64")
    assert told["weights"] == [2.0, 1.0]
    assert told["agreement"]["reached"]
    assert [step["relative_error"] for step in told["rank_path"]] == [0.9, 0.1, None]
    assert len(told["trace"]) == 3
    assert not told["interrupted"]
    assert told["settings"]["seed"] == 7
    assert told["versions"]["torch"] == torch.__version__
    ((_, x, rank, options),) = solver.calls
    assert torch.equal(x, torch.from_numpy(np.load("x.npy")))
    assert rank is None
    assert options["generator"].initial_seed() == 7
    assert options["mask"] is None


def test_what_is_written_is_what_was_found(solver, folder):
    rng = torch.Generator().manual_seed(0)
    factors = tuple(torch.rand(n, 2, generator=rng, dtype=torch.float64) for n in SHAPE)
    solver.answer = {"tensor": CP(torch.tensor([3.0, 1.0], dtype=torch.float64), factors)}
    assert decompose("x.npy", "--rank", "2", "--out", "run") == 0
    loaded = load_decomposition(folder / "run" / "factors.safetensors")
    assert isinstance(loaded, CP)
    assert loaded.weights.tolist() == [3.0, 1.0]
    for mode, factor in enumerate(factors):
        assert torch.equal(loaded.factors[mode], factor)
        with (folder / "run" / f"mode_{mode}.csv").open() as file:
            header, *rows = csv.reader(file)
        assert header == ["component_1", "component_2"]
        assert [[float(cell) for cell in row] for row in rows] == factor.tolist()


def test_all_settings_reach_the_solver(solver, folder):
    words = ["--rank", "3", "--tolerance", "1e-9", "--nonnegative", "--symmetric", "--loss", "poisson"]
    assert decompose("x.npy", *words, "--restarts", "4", "--threads", "1", "--out", "run") == 0
    ((name, _, rank, options),) = solver.calls
    assert (name, rank) == ("cp", 3)
    assert {
        key: options[key] for key in ("method", "tolerance", "nonnegative", "symmetric", "loss", "restarts")
    } == {
        "method": "auto",
        "tolerance": 1e-9,
        "nonnegative": True,
        "symmetric": True,
        "loss": "poisson",
        "restarts": 4,
    }


@pytest.mark.parametrize("words", [["2,3,1"], ["2", "3", "1"], ["2,", "3,1"]])
def test_tucker(words, solver, folder, capsys):
    assert decompose("x.npy", "--format", "tucker", "--ranks", *words, "--out", "run") == 0
    assert solver.calls[0][2] == (2, 3, 1)
    assert "2x3x1" in capsys.readouterr().out
    assert isinstance(load_decomposition(folder / "run" / "factors.safetensors"), Tucker)
    assert summary(folder / "run")["ranks"] == [2, 3, 1]
    assert (folder / "run" / "mode_2.csv").read_text().startswith("component_1\n")
    assert (folder / "run" / "components.png").exists()


def test_tensor_train(solver, folder, capsys):
    assert decompose("x.npy", "--format", "tt", "--tolerance", "0.1", "--out", "run") == 0
    assert solver.calls[0][3] == {"tolerance": 0.1}
    assert "12 instead of 60" in capsys.readouterr().out
    assert isinstance(load_decomposition(folder / "run" / "factors.safetensors"), TT)
    assert sorted(file.name for file in (folder / "run").iterdir()) == [
        "factors.safetensors",
        "report.html",
        "summary.json",
    ]


def test_where_results_go_without_out(solver, folder, capsys):
    assert decompose("x.npy") == 0
    assert decompose("x.npy") == 0
    places = sorted(path.name for path in (folder / "runs").iterdir())
    assert len(places) == 2
    assert all(place.startswith("x-cp-") for place in places)
    assert f"results: runs/{places[0]}" in capsys.readouterr().out
    assert "--out" not in read_decomposition(folder / "runs" / places[0], "x").command
    assert "observed" not in summary(folder / "runs" / places[0])


def test_counts_become_numbers_with_a_note(solver, capsys):
    np.save("counts.npy", np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    assert decompose("counts.npy", "--out", "run") == 0
    assert "counts.npy: the numbers are uint16, read as float64." in capsys.readouterr().out
    assert solver.calls[0][1].dtype == torch.float64


def test_sparse(solver, folder, capsys):
    (folder / "x.tns").write_text("1 1 1 2.0\n5 4 3 1.0\n")
    assert decompose("x.tns", "--out", "run") == 0
    assert solver.calls[0][1].is_sparse
    assert "x.tns, 5x4x3, sparse" in capsys.readouterr().out
    assert decompose("x.tns", "--mask", "nan", "--out", "other") == 2
    assert "--mask is for dense tensors" in failure(capsys)


def test_masks(solver, folder, capsys):
    x = np.load("x.npy")
    x[0, 1, 2] = x[4, 0, 0] = np.nan
    np.save("gaps.npy", x)
    np.save("mask.npy", ~np.isnan(x))
    assert decompose("gaps.npy", "--out", "none") == 2
    assert failure(capsys) == (
        "rankfold: gaps.npy: 2 of 60 entries are NaN; give --mask nan if these are missing.\n"
    )
    for mask in ("nan", "mask.npy"):
        assert decompose("gaps.npy", "--mask", mask, "--out", f"run-{mask}") == 0
        assert np.array_equal(solver.calls[-1][3]["mask"].numpy(), ~np.isnan(x))
        assert "2 of 60 entries (3.3%)" in capsys.readouterr().out
        assert summary(folder / f"run-{mask}")["observed"] == 58
        page = (folder / f"run-{mask}" / "report.html").read_text(encoding="utf-8")
        assert "numbers tell the 58 observed entries" in page
    np.save("other.npy", np.ones((5, 4)))
    assert decompose("gaps.npy", "--mask", "other.npy", "--out", "none") == 2
    assert "allowed are 1 (observed) and 0 in the shape 5x4x3" in failure(capsys)
    np.save("other.npy", np.full(SHAPE, 0.5))
    assert decompose("gaps.npy", "--mask", "other.npy", "--out", "none") == 2
    assert "allowed are 1 (observed) and 0" in failure(capsys)
    assert not (folder / "none").exists()


@pytest.mark.parametrize(
    ("agreement", "sentence"),
    [
        (Agreement(3, 1, True), "certain: the fit is exact"),
        (Agreement(1, 1, False), "not checked: one start only"),
        (Agreement(4, 1, False), "unsure: no two of 4 independent starts agree"),
    ],
)
def test_how_sure(agreement, sentence, solver, capsys):
    solver.answer = {"agreement": agreement}
    assert decompose("x.npy", "--rank", "1", "--out", "run") == 0
    out = capsys.readouterr().out
    assert sentence in out
    assert "1 (given)" in out


def test_components_that_cancel(solver, folder, capsys):
    solver.answer = {"degeneracy": Degeneracy(12.0, -0.99)}
    assert decompose("x.npy", "--out", "run") == 0
    assert (
        "warning: two components nearly cancel (cosine -0.990, largest weight 12 times"
        in capsys.readouterr().out
    )
    assert summary(folder / "run")["degeneracy"]["suspected"]


def test_many_components(solver, folder, capsys):
    assert decompose("x.npy", "--rank", "40", "--out", "run") == 0
    assert "16 more" in capsys.readouterr().out
    assert len(summary(folder / "run")["weights"]) == 40


def test_ctrl_c_keeps_the_best_so_far(solver, folder, capsys):
    solver.before = lambda: signal.raise_signal(signal.SIGINT)
    assert decompose("x.npy", "--out", "run") == 130
    captured = capsys.readouterr()
    assert captured.err == (
        "rankfold: interrupted; the best so far (rank 2, relative error 0.5) is in run.\n"
    )
    assert "2 (the best so far)" in captured.out
    told = summary(folder / "run")
    assert told["interrupted"]
    assert len(told["trace"]) == 2
    assert load_decomposition(folder / "run" / "factors.safetensors").shape == SHAPE


def test_ctrl_c_twice_leaves_nothing(solver, folder, capsys):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    solver.before = twice
    assert decompose("x.npy", "--out", "above/run") == 130
    assert failure(capsys) == "rankfold: interrupted.\n"
    assert [path.name for path in folder.iterdir()] == ["x.npy"]


def test_ctrl_c_twice_while_files_are_written_leaves_nothing(solver, folder, monkeypatch, capsys):
    from rankfold.cli import _decompose_files

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_decompose_files, "draw_decomposition", interrupted)
    assert decompose("x.npy", "--out", "run") == 130
    assert failure(capsys) == "rankfold: interrupted.\n"
    assert [path.name for path in folder.iterdir()] == ["x.npy"]


def test_without_matplotlib(solver, folder, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert decompose("x.npy", "--out", "run") == 0
    assert "no figures: matplotlib is not installed; pip install 'rankfold[cli]'." in capsys.readouterr().out
    assert not list((folder / "run").glob("*.png"))
    assert summary(folder / "run")["rank"] == 2


def test_an_empty_folder_is_taken_and_a_full_one_refused(solver, folder, capsys):
    (folder / "run").mkdir()
    assert decompose("x.npy", "--out", "run") == 0
    before = {file.name: file.read_bytes() for file in (folder / "run").iterdir()}
    capsys.readouterr()
    assert decompose("x.npy", "--out", "run") == 2
    assert "run: the folder is not empty (" in failure(capsys)
    assert before == {file.name: file.read_bytes() for file in (folder / "run").iterdir()}
    assert decompose("x.npy", "--out", "x.npy") == 2
    assert "x.npy: cannot be a folder" in failure(capsys)
    assert decompose("x.npy", "--out", "x.npy/run") == 2
    assert "cannot be" in failure(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "cpd"], "known are cp, tucker, tt"),
        (["--ranks", "2,2,2"], "--ranks is of tucker and tt only; leave it out for cp"),
        (["--energy", "0.9"], "--energy is of tucker only"),
        (["--format", "tt", "--rank", "2"], "--rank is of cp only"),
        (["--format", "tt", "--mask", "nan"], "--mask is of cp and tucker only"),
        (["--format", "tucker", "--ranks", "2,2,2", "--loss", "poisson"], "--loss is of cp only"),
        (
            ["--format", "tucker", "--ranks", "2,0,1"],
            "allowed are whole numbers of at least 1; write them as 3,4,5",
        ),
        (["--format", "tucker", "--ranks", ","], "allowed are whole numbers"),
        (["--format", "tucker", "--energy", "0"], "--energy is 0.0, allowed is a number in (0, 1]"),
        (["--format", "tucker"], "tucker takes exactly one of --ranks, --tolerance, --energy, got 0"),
        (
            ["--format", "tt", "--ranks", "2,2", "--tolerance", "0.1"],
            "tt takes exactly one of --ranks, --tolerance",
        ),
        (["--rank", "0"], "--rank is 0, allowed is auto or at least 1"),
        (["--tolerance", "-1"], "--tolerance is -1.0"),
        (["--restarts", "0"], "--restarts is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--threads", "0"], "--threads is 0"),
        (["--loss", "absolute"], "known are squared, poisson"),
        (["--method", "magic"], "cp method: got 'magic'"),
        (
            ["--format", "tucker", "--ranks", "2,2,2", "--method", "als"],
            "known are auto, st_hosvd, hooi, randomized",
        ),
        (["--key", "x"], "leave the key out"),
    ],
)
def test_settings(words, message, solver, folder, capsys):
    assert decompose("x.npy", *words) == 2
    assert message in failure(capsys)
    assert solver.calls == ()
    assert [path.name for path in folder.iterdir()] == ["x.npy"]


def test_files(solver, folder, capsys):
    assert decompose("missing.npy") == 2
    assert "there is no such file" in failure(capsys)
    (folder / "x.csv").write_text("1,2\n3\n")
    assert decompose("x.csv") == 2
    assert "line 2 has 1 cells" in failure(capsys)
    assert solver.calls == ()


def test_what_does_not_fit_is_refused_before_it_is_read(solver, folder, capsys):
    with (folder / "great.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (5000, 5000, 5000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 5 * 10**11)  # a hole, which takes no space
    assert decompose("great.npy", "--format", "tt", "--tolerance", "0.1") == 2
    message = failure(capsys)
    assert "decompose: great.npy of shape 5000x5000x5000 needs " in message
    amount, unit = message.partition("needs ")[2].split()[:2]
    assert unit.startswith("TiB")
    assert float(amount) > 2 * 5e11 / 2**40  # what is read and a copy
    assert "are free on cpu; pass a part of it, or write it sparse" in message
    assert solver.calls == ()


def test_sparse_tensors_are_measured_too(solver, folder, monkeypatch, capsys):
    (folder / "x.tns").write_text("1 1 1 2.0\n5 4 3 1.0\n")
    monkeypatch.setattr(_memory, "available_bytes", lambda device: 100)
    assert decompose("x.tns") == 2
    assert "decompose: reading x.tns needs 192 bytes, 100 bytes are free" in failure(capsys)
    monkeypatch.setattr(_memory, "available_bytes", lambda device: 200)
    assert decompose("x.tns") == 2
    assert "x.tns of shape 5x4x3 needs" in failure(capsys)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8")]
)
def test_memory_that_runs_out_is_one_sentence(error, solver, folder, capsys):
    def fail():
        raise error

    solver.before = fail
    assert decompose("x.npy", "--out", "run") == 2
    assert "memory ran out" in failure(capsys)
    assert [path.name for path in folder.iterdir()] == ["x.npy"]


def test_the_same_seed_gives_the_same_files(solver, folder):
    for name in ("a", "b"):
        assert decompose("x.npy", "--out", name) == 0
    for file in ("factors.safetensors", "mode_0.csv"):
        assert (folder / "a" / file).read_bytes() == (folder / "b" / file).read_bytes()


def test_inspect_knows_the_file(solver, capsys):
    assert decompose("x.npy", "--out", "run") == 0
    assert main(["inspect", "run/factors.safetensors"]) == 0
    assert "factor_2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "rank"),
    [
        ([], [2]),
        (["--nonnegative", "--rank", "2"], [2]),
        (["--format", "tucker", "--tolerance", "1e-3"], [2, 2, 2]),
        (["--format", "tucker", "--ranks", "2", "2", "2"], [2, 2, 2]),
        (["--format", "tt", "--tolerance", "1e-3"], [2, 2]),
    ],
)
def test_the_real_solvers(words, rank, folder):
    rng = np.random.default_rng(1)
    x = np.einsum("ir,jr,kr->ijk", *(rng.uniform(size=(n, 2)) for n in (7, 6, 5)))
    np.save("x.npy", x)
    assert decompose("x.npy", *words, "--out", "run") == 0
    told = summary(folder / "run")
    assert told["ranks"] == rank
    model = load_decomposition(folder / "run" / "factors.safetensors").to_dense().numpy()
    error = np.linalg.norm(model - x) / np.linalg.norm(x)
    assert error <= 2e-3
    assert told["relative_error"] == pytest.approx(error, rel=1e-3, abs=1e-7)


def test_the_real_solvers_with_gaps_and_sparse(folder):
    rng = np.random.default_rng(1)
    x = np.einsum("ir,jr,kr->ijk", *(rng.uniform(size=(n, 2)) for n in (7, 6, 5)))
    holed = np.where(rng.uniform(size=x.shape) < 0.2, np.nan, x)
    np.save("gaps.npy", holed)
    assert decompose("gaps.npy", "--mask", "nan", "--rank", "2", "--out", "gaps") == 0
    model = load_decomposition(folder / "gaps" / "factors.safetensors").to_dense().numpy()
    assert np.linalg.norm(model - x) <= 1e-3 * np.linalg.norm(x)
    indices = np.argwhere(x > 0)
    lines = (" ".join(map(str, (*(index + 1), x[tuple(index)]))) for index in indices)
    (folder / "x.tns").write_text("\n".join(lines))
    assert decompose("x.tns", "--rank", "2", "--out", "sparse") == 0
    assert summary(folder / "sparse")["relative_error"] <= 1e-3


AMINO = Path(os.environ.get("RANKFOLD_DATA", "")) / "tensors" / "amino_fluorescence.npz"


@pytest.mark.skipif(not AMINO.is_file(), reason="RANKFOLD_DATA names no folder with this measurement")
def test_three_amino_acids(folder, capsys):
    assert decompose(str(AMINO), "--key", "X", "--out", "run") == 0
    assert "3 (found)" in capsys.readouterr().out
    told = summary(folder / "run")
    assert told["relative_error"] == pytest.approx(0.0250, abs=1e-3)
    assert told["agreement"]["reached"]
    samples = np.loadtxt(folder / "run" / "mode_0.csv", delimiter=",", skiprows=1)
    concentrations = np.load(AMINO)["Y"]
    cosines = np.abs(np.corrcoef(samples.T, concentrations.T)[:3, 3:])
    assert np.all(cosines.max(0) > 0.99)

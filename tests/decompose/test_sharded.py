"""Tensors read block by block by one process: what solvers ask of them, and whole decompositions."""

import tempfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tests.decompose.cp_problems import dense, drawn, noise
from torch import Tensor

import rankfold
from rankfold import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.decompose import METHODS, Sharded, _complete
from rankfold.decompose._block_data import BlockData
from rankfold.decompose._blocks import Blocks, extent_of
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._tucker_bases import mode_order
from rankfold.testing import SolverContract

shapes = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def kept(x: Tensor | np.ndarray, folder: Path, **options: Any) -> Sharded:
    """The tensor in a file, read in small blocks."""
    path = folder / "x.npy"
    np.save(path, np.asarray(x))
    return Sharded.from_npy(path, **{"block_bytes": 200, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharded")


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


# -- the same as in memory -----------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True], ids=["residual", "Gram matrices"])
@given(shapes, st.integers(1, 3), st.integers(8, 3000), st.data())
@settings(quick, max_examples=12)
def test_solvers_are_told_what_they_are_told_of_a_tensor_in_memory(
    large: bool, folder: Path, shape: tuple[int, ...], rank: int, block: int, data: st.DataObject
) -> None:
    x, factors, probes = noise(shape, 1), drawn(shape, rank, 2), drawn(shape, 2, 3)
    source = kept(x, folder, mode=data.draw(st.integers(0, len(shape) - 1)), block_bytes=block)
    modes = tuple(data.draw(st.permutations(range(len(shape)))))
    x, factors, probes = x.permute(modes), [factors[m] for m in modes], [probes[m] for m in modes]
    whole = CompleteData(x)
    parts = BlockData(Blocks(source, torch.float64, 2.0, modes), whole.norm / 2)
    whole = CompleteData(x / 2)
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(_complete, "_RESIDUAL_ENTRIES", 1)
        assert (parts.shape, parts.count) == (whole.shape, whole.count)
        assert parts.loss(factors) == pytest.approx(whole.loss(factors), rel=1e-11)
        (found, mine), (loss, theirs) = parts.gradients(factors), whole.gradients(factors)
        assert found == pytest.approx(loss, rel=1e-9)
        for a, b in zip(mine, theirs, strict=True):
            close(a, b)
        for mode in range(len(shape)):
            for model in (factors, []):
                close(parts.contract(model, probes, mode), whole.contract(model, probes, mode))
                close(parts.probe(model)(probes, mode), whole.probe(model)(probes, mode))
        ours, expected, new = list(factors), list(factors), drawn(x.shape, rank, 4)
        for (mode, right, gram), (place, other, square) in zip(
            parts.sweep(ours), whole.sweep(expected), strict=True
        ):
            assert mode == place
            close(right, other)
            close(gram, square)
            ours[mode] = expected[mode] = new[mode]


@given(
    shapes,
    st.integers(8, 3000),
    st.sampled_from(["<f8", ">f8", "<f4", ">f4", "<f2", "<i4", ">u2", "?"]),
    st.data(),
)
@quick
def test_blocks_hold_every_number_once(
    folder: Path, shape: tuple[int, ...], block: int, dtype: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(prod(shape))
    x = (10 * rng.random(shape)).astype(dtype)
    x = np.asfortranarray(x) if data.draw(st.booleans()) else x
    axis = data.draw(st.integers(0, len(shape) - 1))
    place = Path(tempfile.mkdtemp(dir=folder))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(shape[axis] - 1, 1)), max_size=3)) - {shape[axis]})
    for index, part in enumerate(np.split(x, cuts, axis)):
        np.save(place / f"{index + 8}.npy", part)
    source = Sharded.from_folder(place, axis, data.draw(st.integers(0, len(shape) - 1)), block_bytes=block)
    assert source.dtype == (torch.float32 if dtype[1:] in ("f4", "f2") else torch.float64)
    sides = list(shape)
    sides[source.mode] = source.rows_at_once
    for cut in (sides, source.tile):
        seen = torch.full(shape, torch.nan, dtype=torch.float64)
        for box in source.boxes(cut):
            part = source.read(box, torch.float64)
            assert bool(seen[box].isnan().all())
            seen[box] = part
        assert np.array_equal(seen.numpy(), x.astype(float))
    assert prod(source.tile) * 8 <= max(block, 8)


OPTIONS = {
    "als": {"rank": 2, "method": "als"},
    "nonnegative": {"rank": 2, "method": "als", "nonnegative": True},
    "gauss_newton": {"rank": 2, "method": "gauss_newton", "max_iterations": 5},
    "init": {"rank": 2, "method": "als", "init": "made below"},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_cp_is_that_of_the_tensor_in_memory(name: str, mode: int, tmp_path: Path) -> None:
    shape, options = (7, 6, 5), dict(OPTIONS[name])
    x = dense(drawn(shape, 2, 1)).abs() + 0.1 * noise(shape, 2).abs()
    if "init" in options:
        options["init"] = rankfold.CP(torch.ones(2, dtype=torch.float64), tuple(drawn(shape, 2, 9)))
    ours = rankfold.cp(kept(x, tmp_path, mode=mode), generator=3, **options)
    theirs = rankfold.cp(x, generator=3, **options)
    if name != "gauss_newton":  # which works on a projected tensor, in another order of modes
        close(ours.tensor.to_dense(), theirs.tensor.to_dense())
        assert len(ours.trace) == len(theirs.trace)
    assert ours.relative_error == pytest.approx(theirs.relative_error, rel=1e-4)


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("method", ["auto", "gradient_flow", "greedy", "overparam", "gauss_newton"])
def test_components_are_found_whatever_the_method(method: str, large: float, tmp_path: Path) -> None:
    x = large * dense(drawn((9, 8, 7), 2, 5))
    found = rankfold.cp(
        kept(x, tmp_path, block_bytes=2000), None if method == "auto" else 2, method=method, generator=1
    )
    assert found.rank == 2
    assert found.relative_error < 1e-6
    assert found.tensor.shape == (9, 8, 7)
    close(found.tensor.to_dense() / large, x / large)


def test_symmetric_components(tmp_path: Path) -> None:
    loadings = drawn((6,), 2, 4)[0]
    found = rankfold.cp(
        kept(dense([loadings] * 3), tmp_path, block_bytes=10**6),
        2,
        symmetric=True,
        method="greedy",
        generator=0,
    )
    assert found.relative_error < 1e-6
    close(found.tensor.factors[0].abs(), found.tensor.factors[2].abs())


@pytest.mark.parametrize(
    "options",
    [
        {"ranks": 2},
        {"ranks": (3, 2, 2), "method": "st_hosvd"},
        {"tolerance": 0.1},
        {"tolerance": 1e-9},
        {"tolerance": 0.0},
        {"energy": 0.9, "method": "hooi"},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(5, 6, 7), (3, 9), (4, 2, 3, 5)], ids=str)
def test_tucker_is_that_in_memory_along_the_mode_that_comes_last_there(
    options: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    if len(shape) != 3 and isinstance(options.get("ranks"), tuple):
        options = {"ranks": 2, "method": "st_hosvd"}
    x = dense(drawn(shape, 2, 6)) + 0.05 * noise(shape, 7)
    ranks = options.get("ranks")
    sizes = (ranks,) * len(shape) if isinstance(ranks, int) else ranks
    order = mode_order(shape, sizes) if sizes else sorted(range(len(shape)), key=lambda mode: shape[mode])
    ours = rankfold.tucker(kept(x, tmp_path, mode=order[-1]), **options)
    theirs = rankfold.tucker(x, **options)
    assert (ours.tensor.ranks, ours.method, len(ours.trace)) == (
        theirs.tensor.ranks,
        theirs.method,
        len(theirs.trace),
    )
    close(ours.tensor.to_dense(), theirs.tensor.to_dense())
    assert ours.relative_error == pytest.approx(theirs.relative_error, rel=1e-8, abs=1e-12)


@given(shapes, st.integers(8, 2000), st.floats(0.01, 0.9), st.data())
@quick
def test_tucker_keeps_its_tolerance_along_any_mode(
    folder: Path, shape: tuple[int, ...], block: int, tolerance: float, data: st.DataObject
) -> None:
    x = noise(shape, 8)
    source = kept(x, folder, mode=data.draw(st.integers(0, len(shape) - 1)), block_bytes=block)
    found = rankfold.tucker(source, tolerance=tolerance)
    missed = float((found.tensor.to_dense() - x).norm() / x.norm())
    assert found.relative_error == pytest.approx(missed, abs=1e-9)
    assert missed <= tolerance + 1e-12


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_the_size_of_the_numbers_does_not_matter(size: float, tmp_path: Path) -> None:
    x = size * dense(drawn((5, 4, 3), 1, 1))
    source = kept(x, tmp_path)
    extent = extent_of("here", source)
    assert extent.norm == pytest.approx(size * float((x / size).norm()), rel=1e-12)
    assert rankfold.cp(source, 1, method="als", generator=0).relative_error < 1e-6
    assert rankfold.tucker(source, ranks=1).relative_error < 1e-6


def test_single_precision_stays_so(tmp_path: Path) -> None:
    x = dense(drawn((5, 4, 3), 2, 1)).float()
    for found in (
        rankfold.cp(kept(x, tmp_path), 2, method="als", generator=0, max_iterations=3),
        rankfold.tucker(kept(x, tmp_path), ranks=2),
    ):
        assert {tensor.dtype for tensor in found.tensor.tensors} == {torch.float32}


def test_few_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings per sweep of least squares, one per gradient, one per mode of Tucker."""
    shape = (8, 7, 6)
    source = kept(dense(drawn(shape, 2, 1)) + 0.1 * noise(shape, 1), tmp_path, block_bytes=2000)
    read: list[int] = []
    real = Sharded.read
    monkeypatch.setattr(
        Sharded,
        "read",
        lambda *given: read.append(0) or real(*given),  # type: ignore[func-returns-value]
    )
    boxes = len(list(source.boxes(source.tile)))
    rankfold.cp(source, 2, method="als", max_iterations=4, tolerance=0.0, generator=0)
    assert len(read) == boxes * (
        1 + 2 * 4 + 2
    )  # the norm, the sweeps, the error of the run and of the result
    data = BlockData(Blocks(source, torch.float64, 1.0, (0, 1, 2)), 1.0)
    for work, passes in (
        (lambda: data.gradients(drawn(shape, 2, 1)), 1),
        (lambda: data.loss(drawn(shape, 2, 1)), 1),
    ):
        read.clear()
        work()
        assert len(read) == boxes * passes
    read.clear()
    rankfold.tucker(source, tolerance=0.3)
    assert len(read) == boxes + 3 * -(-8 // source.rows_at_once)


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (lambda x: rankfold.cp(x, 2, mask="nan"), OptionError, "^cp: a sharded tensor takes no mask"),
        (
            lambda x: rankfold.cp(x, 2, loss="poisson", method="gradient_flow"),
            OptionError,
            "^cp: a sharded tensor does not take loss='poisson'",
        ),
        (
            lambda x: rankfold.cp(x, 2, method="algebraic"),
            OptionError,
            "^cp: the method 'algebraic' does not take a sharded tensor; methods that do: als, auto, gauss_newton",
        ),
        (lambda x: rankfold.cp(x, 99), RankError, r"^cp: rank must lie in 1\.\.20 for shape \(6, 5, 4\)"),
        (lambda x: rankfold.cp(x, 2, symmetric=True), ShapeError, "symmetric=True needs equal dimensions"),
        (
            lambda x: rankfold.tucker(x, 2, mask="nan"),
            OptionError,
            "^tucker: a sharded tensor does not take a mask",
        ),
        (lambda x: rankfold.tucker(x, 2, nonnegative=True), OptionError, "does not take nonnegative=True"),
        (
            lambda x: rankfold.tucker(x, 2, method="randomized"),
            OptionError,
            "does not take method='randomized'",
        ),
        (lambda x: rankfold.tucker(x), OptionError, "^tucker: got none; pass exactly one of"),
        (lambda x: rankfold.tucker(x, 7), RankError, "^tucker: the rank must lie in"),
        (lambda x: rankfold.tt(x, tolerance=0.1), ShapeError, "^tt: got Sharded; pass a torch tensor"),
    ],
)
def test_what_a_sharded_tensor_does_not_take(
    act: Callable[[Sharded], object], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        act(kept(noise((6, 5, 4), 1), tmp_path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("act", [lambda x: rankfold.cp(x, 1), lambda x: rankfold.tucker(x, 1)])
def test_what_is_no_number_is_named_with_its_file(
    act: Callable[[Sharded], object], value: float, tmp_path: Path
) -> None:
    for index, part in enumerate(np.split(noise((6, 5, 4), 1).numpy(), (2, 4))):
        if index == 1:
            part[1, 2, 3] = value
        np.save(tmp_path / f"part_{index}.npy", part)
    with pytest.raises(NonFiniteError, match=rf"the entry \(3, 2, 3\) in .*part_1\.npy is {value}; allowed"):
        act(Sharded.from_folder(tmp_path, block_bytes=100))


def test_zeros(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="all entries are zero"):
        rankfold.cp(kept(np.zeros((4, 3, 2)), tmp_path), 1)
    found = rankfold.tucker(kept(np.zeros((4, 3, 2)), tmp_path), tolerance=0.1)
    assert (found.relative_error, found.tensor.ranks) == (0.0, (1, 1, 1))


@pytest.mark.parametrize(
    "options", [{"mode": 3}, {"mode": -1}, {"mode": True}, {"block_bytes": 0}, {"block_bytes": 1.5}]
)
def test_options_out_of_range(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"^Sharded: (mode must be one of 0\.\.2|block_bytes must be a whole number)"
    ):
        kept(np.ones((4, 3, 2)), tmp_path, **options)


def test_the_longest_mode_is_cut_but_not_the_innermost(tmp_path: Path) -> None:
    for x, mode in (
        (np.ones((3, 5, 4)), 1),
        (np.ones((3, 4, 9)), 1),
        (np.asfortranarray(np.ones((9, 3, 4))), 2),
        (np.ones((3, 3, 3)), 0),
        (np.ones((3, 9)), 1),
    ):
        assert kept(x, tmp_path).mode == mode


# -- the contract of solvers ---------------------------------------------------------------------------


class _InFiles(SolverContract):
    """The contract with every dense tensor in a file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._place = tmp_path

    def _solve(self, x: Any, rank: int = 2, *, seed: int = 0, **options: Any) -> Any:
        plain = isinstance(x, Tensor) and x.layout == torch.strided and not x.requires_grad and x.ndim > 1
        if plain and x.dtype in (torch.float32, torch.float64) and not {"mask", "loss"} & set(options):
            x = kept(x, self._place)
        return super()._solve(x, rank, seed=seed, **options)

    @staticmethod
    def _equal(a: Any, b: Any) -> bool:
        """Some of what is compared stays in memory."""
        pairs = zip(a.tensor.tensors, b.tensor.tensors, strict=True)
        return all(torch.allclose(x, y, rtol=1e-8, atol=1e-10) for x, y in pairs)


class TestAlternatingLeastSquaresInFiles(_InFiles):
    method = "als"
    accuracy = 1e-5
    single_accuracy = 1e-3


def test_who_takes_sharded_tensors() -> None:
    assert {name for name, method in METHODS.items() if "sharded" not in method.takes} == {"algebraic"}

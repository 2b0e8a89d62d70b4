"""What cp refuses: one clear sentence each, before anything is computed."""

import warnings
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.decompose.cp_problems import drawn, exact, noise
from torch import Tensor

from rankfold import CP
from rankfold._errors import NonFiniteError, OptionError, RankError, RankfoldError, ShapeError
from rankfold.decompose import METHODS, cp

SHAPE = (4, 5, 6)
NAN, INF = float("nan"), float("inf")


def tensor() -> Tensor:
    return exact(SHAPE, 2, 1)


def start(shape: tuple[int, ...] = SHAPE, rank: int = 2) -> CP:
    return CP(torch.ones(rank, dtype=torch.float64), tuple(drawn(shape, rank, 2)))


def refused(error: type[Exception], words: str, x: Any = None, rank: Any = 2, **options: Any) -> str:
    """The message, which has to be one sentence that says where, what came and what is allowed."""
    options.setdefault("generator", 0)
    with pytest.raises(RankfoldError, match=words) as raised:
        cp(tensor() if x is None else x, rank, **options)
    assert type(raised.value) is error
    assert raised.value.__cause__ is None
    message = str(raised.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 400
    return message


def with_value(value: float, *position: int) -> Tensor:
    x = tensor()
    x[position] = value
    return x


# -- numbers that are none -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (NAN, r"^cp: 1 of 120 entries are not finite, the first \(nan\) at \(1, 2, 3\); pass mask='nan'"),
        (INF, r"^cp: 1 of 120 entries are not finite, the first \(inf\) at \(1, 2, 3\); infinite entries"),
        (-INF, r"^cp: 1 of 120 entries are not finite, the first \(-inf\) at \(1, 2, 3\)"),
    ],
)
def test_not_finite(value: float, words: str) -> None:
    refused(NonFiniteError, words, with_value(value, 1, 2, 3))
    refused(NonFiniteError, words, with_value(value, 1, 2, 3).float(), None)
    refused(NonFiniteError, "not finite", with_value(value, 1, 2, 3).numpy())


def test_not_finite_where_it_was_observed() -> None:
    refused(NonFiniteError, r"\(inf\) at \(1, 2, 3\)", with_value(INF, 1, 2, 3), mask="nan")
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[0, 0, 0] = False
    refused(
        NonFiniteError, r"\(nan\) at \(1, 2, 3\); hide it in the mask", with_value(NAN, 1, 2, 3), mask=mask
    )
    refused(NonFiniteError, "NaN or infinite", with_value(NAN, 1, 2, 3).to_sparse())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_that_overflow_are_no_infinity(dtype: torch.dtype) -> None:
    x = (tensor() / tensor().abs().max()).to(dtype)
    large = x * (torch.finfo(dtype).max / 20)
    assert not large.square().sum().isfinite()
    for number in (large, x * torch.finfo(dtype).tiny):
        result = cp(number, 2, generator=0)
        assert result.relative_error < 1e-4
        assert all(bool(part.isfinite().all()) for part in result.tensor.tensors)
    refused(NonFiniteError, f"^cp: the norm of the tensor.* beyond {dtype}", x * torch.finfo(dtype).max)


@pytest.mark.parametrize("rank", [1, None])
def test_nothing_but_zeros(rank: int | None) -> None:
    for x in (torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.float64)):
        refused(ShapeError, "^cp: all entries are zero; .* pass another tensor", x, rank)
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[0, 0, 0] = False
    x = torch.zeros(SHAPE)
    x[0, 0, 0] = 1
    refused(ShapeError, "all entries are zero", x, rank, mask=mask)
    refused(ShapeError, "lists no entries", torch.zeros(SHAPE).to_sparse(), rank)


# -- what is no tensor ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (0, 3, 4), (3, 0), (3, 4, 0), (0,)], ids=str)
def test_orders_and_empty_dimensions(shape: tuple[int, ...]) -> None:
    for rank in (1, None):
        words = rf"^cp: got shape \({', '.join(map(str, shape))}.*order 2 or more without empty dimensions"
        refused(ShapeError, words, torch.ones(shape), rank)


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64, torch.complex128]
)
def test_dtypes(dtype: torch.dtype) -> None:
    advice = "real and imaginary part" if dtype.is_complex else r"\.double\(\)"
    refused(
        ShapeError,
        rf"^cp: got dtype {dtype}; only real floating point .*{advice}",
        torch.ones(SHAPE).to(dtype),
    )
    refused(ShapeError, "only real floating point", torch.ones(SHAPE).to(dtype).to_sparse())


@pytest.mark.parametrize(
    "x",
    [
        "abc",
        None,
        object(),
        {1: 2},
        [[1.0, 2.0], [3.0]],
        np.array(["a", "b"]),
        np.ones((2, 2), dtype=object),
        cp,
    ],
    ids=lambda x: type(x).__name__,
)
def test_other_things(x: Any) -> None:
    with pytest.raises(
        ShapeError, match=rf"^cp: got {type(x).__name__}; pass a torch tensor or a numpy array"
    ):
        cp(x, 1)


def test_whole_numbers_in_lists() -> None:
    refused(ShapeError, "only real floating point", [[1, 2], [3, 4]], 1)


def test_lists_of_floats_are_allowed() -> None:
    result = cp(tensor().tolist(), 2, generator=0)
    assert result.tensor.dtype == torch.get_default_dtype()
    assert result.relative_error < 1e-5


def test_layouts() -> None:
    with warnings.catch_warnings():
        # PyTorch warns of this layout, once per process.
        warnings.simplefilter("ignore")
        csr = torch.eye(4, dtype=torch.float64).to_sparse_csr()
    refused(ShapeError, r"layout torch\.sparse_csr; pass .*torch\.sparse_coo", csr, 1)
    refused(ShapeError, "without dense axes", tensor().to_sparse(2))


def test_a_tensor_without_numbers() -> None:
    refused(ShapeError, "^cp: got a tensor on the meta device", tensor().to("meta"))
    refused(ShapeError, "meta device", tensor().to("meta"), None)


# -- masks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (torch.ones(4, 5, 5, dtype=torch.bool), ShapeError, r"mask of shape \(4, 5, 5\) for a tensor"),
        (torch.ones(5, 6, dtype=torch.bool), ShapeError, r"mask of shape \(5, 6\)"),
        (torch.ones(SHAPE), ShapeError, r"got a torch\.float32 mask .* pass a dense bool mask"),
        (torch.ones(SHAPE, dtype=torch.int64), ShapeError, r"got a torch\.int64 mask"),
        (torch.ones(SHAPE, dtype=torch.bool).to_sparse(), ShapeError, r"got a torch\.bool torch\.sparse_coo mask"),
        (np.ones((4, 5)), ShapeError, r"mask of shape \(4, 5\)"),
        (3, ShapeError, "int64 mask"),
        ("nann", OptionError, r"^cp: mask must be a bool tensor, 'nan' or None, got 'nann'"),
        ("", OptionError, "got ''"),
        (object(), OptionError, "got object"),
        ({"a": 1}, OptionError, "got dict"),
        ([[True], [True, False]], OptionError, "got list"),
    ],
)  # fmt: skip
def test_masks(mask: Any, error: type[Exception], words: str) -> None:
    refused(error, words, mask=mask)
    refused(error, words, rank=None, mask=mask)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_slice_that_nobody_saw(mode: int) -> None:
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask.select(mode, 3).fill_(False)
    words = rf"^cp: nothing is observed in 1 slice of mode {mode} \(index 3\), .*; drop what was never observed first\."
    refused(ShapeError, words, mask=mask)
    refused(ShapeError, words, torch.where(mask, tensor(), NAN), mask="nan")


def test_everything_hidden() -> None:
    refused(ShapeError, r"4 slices of mode 0 \(index 0, 1, 2, 3\)", mask=torch.zeros(SHAPE, dtype=torch.bool))
    wide = torch.ones(9, 3, 3, dtype=torch.float64)
    refused(
        ShapeError, r"\(index 0, 1, 2, 3, 4, \.\.\.\)", wide, 1, mask=torch.zeros(9, 3, 3, dtype=torch.bool)
    )


def test_sparse_tensors_take_no_mask() -> None:
    for mask in ("nan", torch.ones(SHAPE, dtype=torch.bool)):
        refused(
            OptionError,
            "^cp: a sparse tensor takes no mask, .* pass a dense tensor",
            tensor().to_sparse(),
            mask=mask,
        )


# -- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, -1, 21, 10**9])
def test_ranks_out_of_range(rank: int) -> None:
    refused(RankError, rf"^cp: rank must lie in 1\.\.20 for shape \(4, 5, 6\), .*got {rank}\b", rank=rank)
    refused(RankError, r"must lie in 1\.\.20", tensor().to_sparse(), rank)


@pytest.mark.parametrize("rank", [2.5, 2.0, True, "2", (2, 2), [2]])
def test_ranks_that_are_no_numbers(rank: Any) -> None:
    refused(OptionError, "^cp: rank must be a whole number or None", rank=rank)


@pytest.mark.parametrize("method", ["foo", "", "ALS", None, 3])
def test_methods(method: Any) -> None:
    message = refused(OptionError, f"got {method!r}", method=method)
    assert all(name in message for name in METHODS)


@pytest.mark.parametrize("loss", ["foo", "", None, 1, []])
def test_losses(loss: Any) -> None:
    refused(OptionError, "^cp: loss must be one of squared, poisson, got ", loss=loss)


@pytest.mark.parametrize("name", ["restarts", "max_iterations"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, "3", NAN])
@pytest.mark.parametrize("method", ["auto", "als"])
def test_counts(name: str, value: Any, method: str) -> None:
    words = f"^cp: {name} must be a whole number from 1, got {value!r}"
    refused(OptionError, words, method=method, **{name: value})


@pytest.mark.parametrize("value", [-1, -1e-9, NAN, INF, 1, 2, "a", True])
@pytest.mark.parametrize("method", ["auto", "als"])
def test_tolerances(value: Any, method: str) -> None:
    refused(
        OptionError, rf"^cp: tolerance must lie in \[0, 1\), got {value!r}", method=method, tolerance=value
    )


@pytest.mark.parametrize("generator", [1.5, "a", True, np.random.default_rng(0), [1], 2**64, -(2**63) - 1])
def test_generators(generator: Any) -> None:
    refused(
        OptionError,
        "^cp: (generator must be a torch.Generator of the CPU, a seed or None|a seed)",
        generator=generator,
    )


def test_seeds_may_be_large_or_negative() -> None:
    for seed in (-1, 2**64 - 1, -(2**63), 0):
        assert cp(tensor(), 2, generator=seed).relative_error < 1e-4


def test_callbacks() -> None:
    refused(OptionError, "callback must be a function or None, got 3", callback=3)


def test_starts_that_do_not_fit() -> None:
    for init, rank in ((start((4, 5, 5)), 2), (start((4, 5)), 2), (start(), 3), (start(), None)):
        refused(
            ShapeError,
            "^cp: init has shape .* pass an init of the same shape and rank",
            rank=rank,
            method="als",
            init=init,
        )


@pytest.mark.parametrize(
    ("init", "words", "options"),
    [
        (torch.ones(SHAPE, dtype=torch.float64), "init must be a CP, got Tensor", {}),
        (CP(torch.full((2,), NAN, dtype=torch.float64), start().factors), "init .*NaN or infinity", {}),
        (start(), "init has negative", {"nonnegative": True}),
    ],
    ids=["tensor", "nan", "negative"],
)
def test_starts_that_are_none(init: Any, words: str, options: dict[str, Any]) -> None:
    with pytest.raises(RankfoldError, match=words):
        cp(tensor(), 2, method="als", init=init, generator=0, **options)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"als", "gauss_newton"}))
def test_methods_that_take_no_start(method: str) -> None:
    words = f"^cp: the method '{method}' does not take init; methods that do: als, gauss_newton"
    refused(OptionError, words, method=method, init=start())


def test_symmetry() -> None:
    refused(ShapeError, "symmetric=True needs equal dimensions", symmetric=True)
    refused(ShapeError, "symmetric", noise((4, 4, 4), 1), symmetric=True)


# -- size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [2, None])
def test_a_dense_tensor_beyond_memory(rank: int | None) -> None:
    huge = torch.ones(1, 1, 1).expand(10**5, 10**5, 10**5)
    words = r"^cp: a dense tensor of shape \(100000, 100000, 100000\) needs [\d.]+ PiB, .* free on cpu; pass a sparse"
    refused(OptionError, words, huge, rank)
    refused(OptionError, words, huge, rank, method="als")
    refused(RankError, "rank must lie in", huge, 0)


def test_a_sparse_tensor_of_the_same_shape_is_decomposed() -> None:
    size, count = 10**5, 1000
    generator = torch.Generator().manual_seed(5)
    corner = torch.randperm(size, generator=generator)[:10]
    places = torch.cartesian_prod(corner, corner, corner)
    assert len(places) == count
    values = exact((10, 10, 10), 2, 3).flatten()
    x = torch.sparse_coo_tensor(places.mT, values, (size,) * 3, check_invariants=True)
    peak = _peak_bytes()
    result = cp(x, 2, generator=0)
    assert result.tensor.shape == (size,) * 3
    # The loss of a sparse tensor keeps half the digits.
    assert result.relative_error < 1e-5
    core = CP(result.tensor.weights, tuple(factor[corner] for factor in result.tensor.factors))
    assert float((core.to_dense().flatten() - values).norm() / values.norm()) < 1e-5
    # Some hundred copies of the factors, nowhere near 10^10 rows of a Khatri-Rao product.
    assert _peak_bytes() - peak < 2**30


def _peak_bytes() -> int:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def test_a_sparse_tensor_whose_factors_are_beyond_memory() -> None:
    shape = (10**12, 10**6)
    x = torch.sparse_coo_tensor(torch.tensor([[0, 5], [1, 6]]), torch.ones(2), shape, check_invariants=True)
    refused(
        OptionError, r"^cp: a sparse tensor of shape .* with 2 entries needs [\d.]+ .iB, .* free on cpu", x
    )


# -- anything at all -----------------------------------------------------------------------------------

CORRUPTIONS: dict[str, list[Any]] = {
    "rank": [None, 0, -3, 1.5, "2", True, 1, 2, 3, 100],
    "method": ["foo", *METHODS],
    "mask": ["nan", "foo", "random", "slice", "shape", "float", 0],
    "nonnegative": [True],
    "symmetric": [True],
    "loss": ["poisson", "foo"],
    "restarts": [0, 1, 2, 2.5, "1"],
    "max_iterations": [0, 1, 3, -1, 1.5],
    "tolerance": [0, 0.5, -1, NAN, "0"],
    "generator": [None, 7, 1.5, "0"],
    "init": ["fit", "rank", "shape"],
    "values": ["nan", "inf", "zero", "huge", "tiny", "int", "float32", "half", "numpy", "list",
               "sparse", "one", "counts"],
    "shape": [(3,), (3, 0), (2, 3), (3, 3, 3), (1, 1, 1), (1, 4), (2, 2, 2, 2)],
}  # fmt: skip


def corrupted(changes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    shape = changes.get("shape", (3, 4, 2))
    x: Any = exact(shape, 2, 9).contiguous()
    kind = changes.get("values")
    if kind in ("nan", "inf") and x.numel():
        x.view(-1)[x.numel() // 2] = float(kind)
    x = x * {"zero": 0.0, "huge": 1e200, "tiny": 1e-200}.get(kind, 1.0)
    x = torch.ones_like(x) if kind == "one" else x
    x = x.abs().round() + 1 if kind == "counts" else x
    dtypes = {"int": torch.int64, "float32": torch.float32, "half": torch.float16}
    x = x.to(dtypes[kind]) if kind in dtypes else x
    options = {"rank": 2, "generator": 0} | {
        name: value for name, value in changes.items() if name not in ("values", "shape")
    }
    mask = torch.arange(max(x.numel(), 1))[: x.numel()].view(shape) % 5 != 2
    masks = {
        "random": mask,
        "slice": torch.zeros(shape, dtype=torch.bool),
        "shape": torch.ones(7, dtype=torch.bool),
        "float": mask.double(),
    }
    if options.get("mask") in masks:
        options["mask"] = masks[options["mask"]]
    if "init" in options:
        fitting = shape if len(shape) > 1 else (2, 2)
        options["init"] = {"fit": start(fitting), "rank": start(fitting, 1), "shape": start((2, 2))}[
            options["init"]
        ]
    if kind == "sparse":
        x = x.to_sparse()
    elif kind == "numpy":
        x = x.numpy()
    elif kind == "list":
        x = x.tolist()
    return x, options


@given(
    changes=st.lists(st.sampled_from(sorted(CORRUPTIONS)), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(CORRUPTIONS[name]) for name in names})
    )
)
@settings(max_examples=250)
def test_anything_gives_an_error_of_ours_or_a_valid_result(changes: dict[str, Any]) -> None:
    x, options = corrupted(changes)
    message = ""
    try:
        result = cp(x, **options)
    except RankfoldError as error:
        message = str(error)
        result = None
    if result is None:
        assert message.endswith(".")
        return
    assert all(bool(part.isfinite().all()) for part in result.tensor.tensors)
    assert 0 <= result.relative_error < INF
    assert result.tensor.shape == tuple(x.shape if isinstance(x, Tensor) else np.shape(x))
    assert result.trace
    assert result.agreement.runs >= 1
    if options["rank"] is not None:
        assert result.rank == options["rank"]
    if options.get("nonnegative") or options.get("loss") == "poisson":
        assert all(bool((factor >= 0).all()) for factor in result.tensor.factors)


@pytest.mark.parametrize(
    "given", [lambda x: x[::-1], lambda x: x.astype(">f8")], ids=["reversed", "big-endian"]
)
def test_arrays_as_numpy_lays_them_out(given: Any) -> None:
    x = tensor().numpy()
    turned = given(x)
    before = turned.copy()
    expected = cp(torch.from_numpy(np.ascontiguousarray(turned, dtype=np.float64)), 1, generator=0)
    result = cp(turned, 1, generator=0)
    assert torch.equal(result.tensor.to_dense(), expected.tensor.to_dense())
    assert np.array_equal(turned, before)

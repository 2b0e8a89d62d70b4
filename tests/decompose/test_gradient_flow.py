"""CP by gradient flow from a small start."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._gradient_flow import solve
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import METHODS, Settings
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._small_start import descend, fresh_pool, pool_of
from rankfold.decompose._sparse import SparseData
from rankfold.decompose._symmetric import symmetric_factors
from rankfold.formats import balanced_outer

F64 = torch.float64


def _settings(seed: int = 0, recorder: Recorder | None = None, **options: object) -> Settings:
    generator = torch.Generator().manual_seed(seed)
    return Settings(generator=generator, recorder=recorder or Recorder(), **options)  # type: ignore[arg-type]


def _normal(size: int, rank: int, generator: torch.Generator) -> Tensor:
    return torch.randn(size, rank, generator=generator, dtype=F64)


def _orthonormal(size: int, rank: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(_normal(size, rank, generator)).Q


def _unit_norm(tensor: Tensor) -> Tensor:
    return tensor / torch.linalg.vector_norm(tensor)


def _weighted(factors: list[Tensor], smallest: float) -> Tensor:
    weights = torch.logspace(0, torch.tensor(smallest).log10().item(), factors[0].shape[1], dtype=F64)
    units = [torch.nn.functional.normalize(factor, dim=0) for factor in factors]
    return _unit_norm(balanced_outer([units[0] * weights, *units[1:]]))


def _error(data: Data, factors: list[Tensor]) -> float:
    return (2 * data.loss(factors)) ** 0.5 / data.norm


@pytest.mark.parametrize(
    ("shape", "rank"), [((16, 16, 16), 8), ((9, 6, 12), 4), ((6, 6, 6, 6), 4), ((8, 7), 3)], ids=str
)
def test_orthogonal_components_are_found(shape: tuple[int, ...], rank: int) -> None:
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        data = CompleteData(_unit_norm(balanced_outer([_orthonormal(n, rank, generator) for n in shape])))
        factors = solve(data, rank, _settings(seed))
        assert [tuple(factor.shape) for factor in factors] == [(n, rank) for n in shape]
        assert _error(data, factors) < 1e-10
        norms = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in factors])
        torch.testing.assert_close(norms, norms[:1].expand_as(norms))


def test_wide_weights_need_the_level_of_the_residual() -> None:
    """Weights over three decades: one descent fits the largest only, restarts at the new level find all."""
    generator = torch.Generator().manual_seed(0)
    data = CompleteData(_weighted([_normal(10, 8, generator) for _ in range(3)], 1e-3))
    settings = _settings()
    _, loss = descend(data, fresh_pool(data, [], 32, 1.0, settings), 1.0, settings, steps=1500)
    assert (2 * loss) ** 0.5 > 1e-2
    assert _error(data, solve(data, 8, _settings())) < 1e-10


def test_components_grow_in_a_space_far_larger_than_they_are() -> None:
    """Random directions of 2000 dimensions see next to nothing of a component that lives on 20 of them."""
    generator = torch.Generator().manual_seed(13)
    places = torch.randint(2000, (3, 20), generator=generator)
    values = torch.rand(20, generator=generator, dtype=F64)
    spread = torch.meshgrid(*places, indexing="ij")
    weights = torch.einsum("i,j,k->ijk", values, values, values).flatten()
    index = torch.stack([part.flatten() for part in spread])
    tensor = torch.sparse_coo_tensor(index, weights, (2000,) * 3, check_invariants=True).coalesce()
    data = SparseData(tensor / torch.linalg.vector_norm(tensor.values()))
    settings = _settings()
    pool, loss = descend(data, fresh_pool(data, [], 4, 1.0, settings), 1.0, settings, steps=200)
    assert pool.norms.numel() > 0
    assert loss < 1e-3


def test_more_components_than_dimensions() -> None:
    generator = torch.Generator().manual_seed(1)
    data = CompleteData(_unit_norm(balanced_outer([_normal(6, 8, generator) for _ in range(3)])))
    assert _error(data, solve(data, 8, _settings())) < 1e-10


def test_gaps_are_filled() -> None:
    generator = torch.Generator().manual_seed(2)
    tensor = balanced_outer([_normal(12, 3, generator) for _ in range(3)])
    mask = torch.rand(tensor.shape, generator=generator) > 0.7
    data = MaskedData(tensor / (tensor * mask).norm(), mask)
    factors = solve(data, 3, _settings())
    torch.testing.assert_close(balanced_outer(factors) * (tensor * mask).norm(), tensor, rtol=1e-6, atol=1e-6)


def test_sparse_data() -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [_normal(20, 3, generator) * (torch.rand(20, 3, generator=generator) < 0.3) for _ in range(3)]
    tensor = _unit_norm(balanced_outer(parts))
    factors = solve(SparseData(tensor.to_sparse()), 3, _settings())
    # The loss is a difference of squares there, so about the root of eps is left.
    assert torch.linalg.vector_norm(balanced_outer(factors) - tensor) < 1e-6


def test_nonnegative_factors() -> None:
    generator = torch.Generator().manual_seed(4)
    parts = [
        torch.rand(10, 5, generator=generator, dtype=F64) * (torch.rand(10, 5, generator=generator) < 0.4)
        for _ in range(3)
    ]
    data = CompleteData(_unit_norm(balanced_outer(parts)))
    factors = solve(data, 5, _settings(nonnegative=True))
    assert min(float(factor.min()) for factor in factors) >= 0
    assert _error(data, factors) < 1e-8


def test_float32() -> None:
    generator = torch.Generator().manual_seed(5)
    tensor = _unit_norm(balanced_outer([_orthonormal(10, 4, generator) for _ in range(3)])).float()
    factors = solve(CompleteData(tensor), 4, _settings())
    assert {factor.dtype for factor in factors} == {torch.float32}
    assert torch.linalg.vector_norm(balanced_outer(factors) - tensor) < 1e-5


@pytest.mark.parametrize(
    ("order", "signs"), [(3, [1, 1, 1, 1, 1, 1]), (4, [1, 1, 1, -1, -1]), (4, [-1, -1])], ids=str
)
def test_symmetric_components(order: int, signs: list[float]) -> None:
    generator = torch.Generator().manual_seed(6)
    vectors, given = _normal(6, len(signs), generator), torch.tensor(signs, dtype=F64)
    data = CompleteData(_unit_norm(balanced_outer(symmetric_factors(vectors, given, order))))
    factors = solve(data, len(signs), _settings(symmetric=True))
    assert _error(data, factors) < 1e-10
    assert all(torch.equal(factor, factors[1]) for factor in factors[2:])
    carried = (factors[0] * factors[1]).sum(0).sign()
    torch.testing.assert_close(factors[0], factors[1] * carried)
    assert int((carried < 0).sum()) == signs.count(-1)


@pytest.mark.parametrize("order", [3, 4])
def test_symmetric_and_nonnegative(order: int) -> None:
    vectors = torch.rand(6, 3, generator=torch.Generator().manual_seed(11), dtype=F64)
    data = CompleteData(_unit_norm(balanced_outer([vectors] * order)))
    factors = solve(data, 3, _settings(symmetric=True, nonnegative=True))
    assert min(float(factor.min()) for factor in factors) >= 0
    assert all(torch.equal(factor, factors[0]) for factor in factors)
    assert _error(data, factors) < 1e-6


def test_fewer_components_than_asked_for_are_filled_up() -> None:
    vectors = torch.randn(5, 1, generator=torch.Generator().manual_seed(12), dtype=F64)
    data = CompleteData(_unit_norm(balanced_outer([vectors] * 3)))
    for symmetric in (False, True):
        factors = solve(data, 3, _settings(symmetric=symmetric))
        assert [tuple(factor.shape) for factor in factors] == [(5, 3)] * 3
        assert _error(data, factors) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "rank", "kind", "runs", "least"),
    [
        (20, 10, "orthogonal", 5, 5),
        (16, 16, "orthogonal", 5, 5),
        (15, 5, "collinear", 4, 4),
        (10, 8, "wide", 5, 5),
        (8, 11, "normal", 5, 5),
    ],
)
def test_success_over_seeds(size: int, rank: int, kind: str, runs: int, least: int) -> None:
    """Relative error below 1e-4 on exact data: orthogonal, congruence .99, weights 1 to 1e-3, more than n."""
    good = 0
    for seed in range(runs):
        generator = torch.Generator().manual_seed(seed)
        if kind == "orthogonal":
            parts = [_orthonormal(size, rank, generator) for _ in range(3)]
        elif kind == "collinear":
            congruence = torch.full((rank, rank), 0.99, dtype=F64).fill_diagonal_(1.0)
            root = torch.linalg.cholesky(congruence)
            parts = [_orthonormal(size, rank, generator) @ root.mT for _ in range(3)]
        else:
            parts = [_normal(size, rank, generator) for _ in range(3)]
        tensor = _weighted(parts, 1e-3) if kind == "wide" else _unit_norm(balanced_outer(parts))
        data = CompleteData(tensor)
        good += _error(data, solve(data, rank, _settings(100 + seed))) < 1e-4
    assert good >= least


def test_symmetric_refuses_what_is_not() -> None:
    data = CompleteData(torch.randn(4, 4, 4, dtype=F64))
    with pytest.raises(ShapeError, match="transpose"):
        solve(data, 2, _settings(symmetric=True))


def test_noise_is_fitted_to_its_level() -> None:
    generator = torch.Generator().manual_seed(7)
    clean = _unit_norm(balanced_outer([_normal(12, 3, generator) for _ in range(3)]))
    noise = _unit_norm(torch.randn(12, 12, 12, generator=generator, dtype=F64))
    data = CompleteData(_unit_norm(clean + 0.1 * noise))
    assert _error(data, solve(data, 3, _settings())) < 0.1


def test_the_same_seed_gives_the_same_factors_and_data_stay() -> None:
    generator = torch.Generator().manual_seed(8)
    tensor = _unit_norm(torch.randn(5, 6, 7, generator=generator, dtype=F64))
    before = tensor.clone()
    first, second = (solve(CompleteData(tensor), 2, _settings(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(tensor, before)


def test_descent_is_monotone_and_a_callback_stops_it() -> None:
    generator = torch.Generator().manual_seed(9)
    data = CompleteData(_unit_norm(balanced_outer([_normal(8, 4, generator) for _ in range(3)])))
    recorder = Recorder()
    settings = _settings(recorder=recorder)
    descend(data, fresh_pool(data, [], 16, 0.5, settings), 0.5, settings, steps=400)
    errors = [point.relative_error for point in recorder.points]
    assert len(errors) > 3
    # Fresh components add a millionth of the level at most.
    assert all(after <= before + 1e-4 for before, after in pairwise(errors))
    stopping = Recorder(lambda point: True)
    factors = solve(data, 4, _settings(recorder=stopping))
    assert factors[0].shape == (8, 4)
    assert len(stopping.points) <= 10


def test_pool_keeps_the_components() -> None:
    generator = torch.Generator().manual_seed(10)
    factors = [_normal(5, 3, generator) for _ in range(3)]
    pool = pool_of(factors, symmetric=False)
    torch.testing.assert_close(balanced_outer(pool.factors()), balanced_outer(factors))
    sizes = torch.stack([factor.norm(dim=0) for factor in factors]).prod(0)
    torch.testing.assert_close(pool.norms**2, sizes)


def test_it_is_registered() -> None:
    method = METHODS["gradient_flow"]
    assert method.solve is solve
    assert {"masked", "sparse", "nonnegative", "symmetric", "poisson"} <= method.takes

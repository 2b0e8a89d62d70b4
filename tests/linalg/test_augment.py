import pytest
import torch
from torch import Tensor

from rankfold import ShapeError
from rankfold.linalg import augment, orthonormality_defect, orthonormalize

EPS = torch.finfo(torch.float64).eps


def basis_of(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return orthonormalize(torch.randn(rows, columns, dtype=torch.float64)).to(dtype)


def outside(basis: Tensor, matrix: Tensor) -> Tensor:
    """Length of what each column, scaled to unit length, has outside the span of the basis."""
    basis = basis.double()
    unit = matrix.double() / torch.linalg.vector_norm(matrix.double(), dim=0)
    return torch.linalg.vector_norm(unit - basis @ (basis.mT @ unit), dim=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "old", "offered"), [(20, 3, 4), (20, 0, 4), (20, 3, 0), (9, 4, 9), (6, 5, 3), (1, 0, 2)]
)
def test_old_columns_stay_and_directions_are_spanned(
    rows: int, old: int, offered: int, dtype: torch.dtype
) -> None:
    basis = basis_of(rows, old, dtype)
    directions = torch.randn(rows, offered).to(dtype)
    (wider,) = augment([basis], [directions])
    assert wider.dtype == dtype
    assert torch.equal(wider[:, :old], basis)
    assert wider.shape == (rows, min(rows, old + offered))
    tolerance = 8 * rows * torch.finfo(dtype).eps
    if wider.shape[1]:
        assert orthonormality_defect(wider) <= tolerance
    # The directions left of those already found are as badly determined as their matrix is conditioned.
    joint = torch.cat([basis, directions], 1).double()
    values = torch.linalg.svdvals(joint)
    assert bool((outside(wider, directions) <= tolerance * values[0] / values[wider.shape[1] - 1]).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1e-30, 1e-20, 1e-8, 1.0, 1e8, 1e30])
def test_length_does_not_matter(length: float, dtype: torch.dtype) -> None:
    basis = basis_of(12, 2, dtype)
    directions = torch.randn(12, 2, dtype=dtype)
    directions[:, 1] *= length
    (wider,) = augment([basis], [directions])
    assert wider.shape == (12, 4)
    assert outside(wider, directions).max() <= 8 * 12 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("name", "new"),
    [("in the span", 0), ("zero", 0), ("repeated", 1), ("sum of two", 2), ("none", 0)],
)
def test_dependent_directions_are_dropped(name: str, new: int) -> None:
    basis = basis_of(15, 4)
    one, two = torch.randn(15, 1, dtype=torch.float64), torch.randn(15, 1, dtype=torch.float64)
    directions = {
        "in the span": basis @ torch.randn(4, 3, dtype=torch.float64),
        "zero": torch.zeros(15, 3, dtype=torch.float64),
        "repeated": torch.cat([one, one, 1e-9 * one, -1e9 * one], 1),
        "sum of two": torch.cat([one, two, one + two, torch.zeros_like(one)], 1),
        "none": torch.zeros(15, 0, dtype=torch.float64),
    }[name]
    (wider,) = augment([basis], [directions])
    assert wider.shape[1] == 4 + new
    assert torch.equal(wider[:, :4], basis)
    assert orthonormality_defect(wider) <= 4 * 15 * EPS
    assert outside(wider, directions[:, directions.any(0)]).nan_to_num().sum() <= 4 * 15 * EPS * 4


def test_direction_almost_in_the_span_is_kept() -> None:
    basis, fresh = basis_of(12, 4), torch.randn(12, 1, dtype=torch.float64)
    fresh = orthonormalize(fresh - basis @ (basis.mT @ fresh))
    (wider,) = augment([basis], [basis[:, :1] + 1e-8 * fresh])
    assert wider.shape[1] == 5
    assert outside(wider, fresh).max() <= 8 * 12 * EPS / 1e-8  # the offered direction holds no more digits


def test_full_basis_stays() -> None:
    basis = basis_of(6, 6)
    (wider,) = augment([basis], [torch.randn(6, 3, dtype=torch.float64)])
    assert torch.equal(wider, basis)


@pytest.mark.parametrize("cap", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("offered", [3, 20])
def test_cap_keeps_the_dominant_part(cap: int, offered: int) -> None:
    basis = basis_of(10, 4)
    scales = torch.logspace(0, -6, offered, dtype=torch.float64)
    directions = (torch.randn(10, offered, dtype=torch.float64) * scales)[:, torch.randperm(offered)]
    (wider,) = augment([basis], [directions], max_new=[cap])
    residual = directions - basis @ (basis.mT @ directions)
    left, values, _ = torch.linalg.svd(residual, full_matrices=False)
    new = min(cap, offered, 6)
    assert wider.shape[1] == 4 + new
    fresh, best = wider[:, 4:], left[:, :new]
    # Wedin: the leading subspace is as sharp as the gap below it.
    gap = float(values[new - 1] - (values[new] if new < min(6, offered) else 0)) / float(values[0])
    allowed = 100 * 10 * EPS / max(gap, EPS) if new else 0.0
    assert torch.linalg.matrix_norm(fresh @ fresh.mT - best @ best.mT) <= allowed


def test_many_problems_equal_single_calls(host_syncs: list[str], as_on_a_gpu: None) -> None:
    shapes = [(8, 2, 3), (5, 1, 1), (8, 2, 3), (8, 8, 2), (5, 1, 9), (3, 0, 2)]
    bases = [basis_of(rows, old) for rows, old, _ in shapes]
    directions = [torch.randn(rows, offered, dtype=torch.float64) for rows, _, offered in shapes]
    directions[2][:, 1] = directions[2][:, 0]
    caps = [None, 1, 1, None, 2, 1]
    host_syncs.clear()
    together = augment(bases, directions, max_new=caps)
    assert host_syncs == ["tolist"]
    for index, wider in enumerate(together):
        (alone,) = augment([bases[index]], [directions[index]], max_new=[caps[index]])
        assert wider.shape == alone.shape
        assert torch.linalg.matrix_norm(wider @ wider.mT - alone @ alone.mT) <= 100 * 8 * EPS


def test_inputs_are_left_alone() -> None:
    basis, directions = basis_of(6, 2), torch.randn(6, 2, dtype=torch.float64)
    copies = basis.clone(), directions.clone()
    augment([basis], [directions], max_new=[1])
    assert torch.equal(basis, copies[0])
    assert torch.equal(directions, copies[1])


def test_nothing_to_do() -> None:
    assert augment([], []) == []


@pytest.mark.parametrize(
    ("bases", "directions", "caps"),
    [
        ([(4, 2)], [(5, 2)], None),
        ([(4, 2)], [(4,)], None),
        ([(4,)], [(4, 1)], None),
        ([(4, 2)], [], None),
        ([(4, 2)], [(4, 1)], [None, None]),
    ],
)
def test_shapes_that_do_not_fit(bases: list, directions: list, caps: list | None) -> None:
    with pytest.raises(ShapeError, match="augment"):
        augment([torch.zeros(s) for s in bases], [torch.zeros(s) for s in directions], max_new=caps)

import pytest
import torch
from torch import Tensor

from rankfold import OptionError, RankError, ShapeError, Tucker
from rankfold.formats import truncate_cores
from rankfold.linalg import unfold
from rankfold.testing import assert_same

# Inner products of at most 9 terms, a few of them in a row.
ROUNDING = 4 * 9 * torch.finfo(torch.float64).eps


def random_tucker(shape: tuple[int, ...], ranks: tuple[int, ...]) -> Tucker:
    factors = [torch.randn(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True)]
    return Tucker(torch.randn(ranks, dtype=torch.float64), tuple(factors))


@pytest.mark.parametrize(
    ("core", "factors", "message"),
    [
        (torch.ones(3), (None,), "order 2 or more"),
        (torch.ones(3, 2), (None,), "one factor"),
        (torch.ones(3, 2, dtype=torch.int64), (None, None), "floating-point"),
        (torch.ones(3, 2), (torch.ones(5, 2), None), r"mode 0 has shape \(5, 2\).*\(n, 3\)"),
        (torch.ones(3, 2), (None, torch.ones(2)), "mode 1"),
        (torch.ones(3, 2), (None, torch.ones(4, 2).double()), r"torch.float64.*torch.float32.*\.to\(\)"),
        (torch.ones(3, 2), (None, torch.ones(4, 2, device="meta")), "on meta"),
    ],
)
def test_parts_that_do_not_fit(core: Tensor, factors: tuple, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Tucker(core, factors)


@pytest.mark.parametrize("kwargs", [{}, {"tolerance": 0.1, "ranks": 1}])
def test_exactly_one_of_tolerance_and_ranks(kwargs: dict) -> None:
    with pytest.raises(OptionError, match="exactly one of"):
        random_tucker((3, 4), (2, 2)).truncate(**kwargs)
    with pytest.raises(OptionError, match="exactly one of"):
        Tucker.from_dense(torch.ones(3, 4), **kwargs)


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, 2.0, float("nan")])
def test_tolerance_out_of_range(tolerance: float) -> None:
    with pytest.raises(OptionError, match=r"\[0, 1\)"):
        random_tucker((3, 4), (2, 2)).truncate(tolerance=tolerance)
    with pytest.raises(OptionError, match=r"\[0, 1\)"):
        Tucker.from_dense(torch.ones(3, 4), tolerance=tolerance)


@pytest.mark.parametrize("ranks", [0, 4, -1, True, (1,), (1, 2, 3), (0, 1), (1, 4)])
def test_truncation_to_ranks_out_of_range(ranks: object) -> None:
    with pytest.raises(RankError, match=r"Tucker\.truncate"):
        random_tucker((5, 6), (3, 3)).truncate(ranks=ranks)


def test_one_rank_for_all_modes() -> None:
    assert random_tucker((5, 6, 7), (2, 3, 4)).truncate(ranks=3).ranks == (2, 3, 3)


def test_infeasible_ranks_are_lowered_at_no_loss() -> None:
    tucker = random_tucker((5, 5, 5), (4, 4, 4)).orthonormalize()
    assert tucker.truncate(ranks=(4, 1, 1)).ranks == (1, 1, 1)
    lowered, exact = tucker.truncate(ranks=(4, 1, 2)), tucker.truncate(ranks=(2, 1, 2))
    assert lowered.ranks == (2, 1, 2)
    error = torch.linalg.vector_norm(lowered.to_dense() - tucker.to_dense())
    assert error <= torch.linalg.vector_norm(exact.to_dense() - tucker.to_dense()) * (1 + 9 * ROUNDING)
    (limited,) = truncate_cores([tucker.core], [tucker.modes], tolerance=0.0, max_ranks=[(4, 1, 1)])
    assert tuple(limited.core.shape) == (1, 1, 1)
    assert limited.demanded == {0: 4, 1: 4, 2: 4}


def test_truncations_say_how_the_bases_turned() -> None:
    tuckers = [random_tucker((5, 6, 7), (3, 4, 4)).orthonormalize() for _ in range(2)]
    tuckers.append(random_tucker((5, 6), (3, 3)).orthonormalize())
    results = truncate_cores([t.core for t in tuckers], [t.modes for t in tuckers], tolerance=0.4)
    for tucker, result in zip(tuckers, results, strict=True):
        cut = tucker.project(result.core, result.bases)
        assert cut.num_parameters < tucker.num_parameters
        for mode, rotation in result.bases.items():
            assert_same(cut.factors[mode], tucker.factors[mode] @ rotation, terms=8)
        error = torch.linalg.vector_norm(cut.to_dense() - tucker.to_dense())
        assert error <= 0.4 * tucker.norm()
        assert abs(result.error**2 - error**2) <= 9 * ROUNDING * tucker.norm() ** 2


def test_truncation_is_in_hosvd_form() -> None:
    result = random_tucker((8, 8, 8), (6, 6, 6)).truncate(tolerance=0.5)
    assert result.ranks != (6, 6, 6)
    assert result.is_rotated()
    assert result.orthonormality_defect() <= ROUNDING


@pytest.mark.parametrize(
    ("shape", "ranks"), [((5, 6), (2, 2)), ((5, 6), (2, 3)), ((5, 6, 7), (3, 4, 2)), ((3, 4), (5, 6))]
)
def test_orthonormal_factors_and_rotation(shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    tucker = random_tucker(shape, ranks)
    assert tucker.orthonormality_defect() > 0.1
    assert not tucker.is_rotated()
    for result in (tucker.orthonormalize(), tucker.rotate()):
        assert result.ranks == tuple(min(n, r) for n, r in zip(shape, ranks, strict=True))
        assert result.orthonormality_defect() <= ROUNDING
        assert_same(result.to_dense(), tucker.to_dense(), terms=sum(shape) + sum(ranks))
        assert_same(torch.linalg.vector_norm(result.core), tucker.norm(), terms=sum(shape) + sum(ranks))
    assert tucker.rotate().is_rotated()


def test_rotation_resolves_small_singular_values() -> None:
    tucker = Tucker(torch.diag(torch.logspace(0, -9, 4, dtype=torch.float64)), (None, None))
    mixed = Tucker.from_dense(tucker.to_dense(), ranks=4)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    turned = Tucker(turn @ mixed.core @ turn, (mixed.factors[0] @ turn.mT, mixed.factors[1] @ turn))
    assert not turned.is_rotated()
    rows = unfold(turned.rotate().core, 0)
    assert_same(torch.linalg.vector_norm(rows, dim=1)[-1], torch.tensor(1e-9).double(), terms=int(1e9))


def test_a_tucker_without_factors_is_its_core() -> None:
    core = torch.randn(3, 4, dtype=torch.float64)
    tucker = Tucker(core, (None, None))
    assert tucker.modes == ()
    assert torch.equal(tucker.to_dense(), core)
    assert torch.equal(tucker.truncate(tolerance=0.5).core, core)
    assert tucker.orthonormality_defect() == 0


def test_augmentation_keeps_bits_and_obeys_the_cap() -> None:
    tucker = random_tucker((9, 8, 7), (2, 3, 2)).rotate()
    wider = tucker.augment({0: torch.randn(9, 4).double(), 2: torch.randn(7, 1).double()}, max_new=2)
    assert wider.ranks == (4, 3, 3)
    assert torch.equal(wider.core[:2, :, :2], tucker.core)
    assert torch.count_nonzero(wider.core) == torch.count_nonzero(tucker.core)
    for mode in range(3):
        assert torch.equal(wider.factors[mode][:, : tucker.ranks[mode]], tucker.factors[mode])
    assert wider.orthonormality_defect() <= ROUNDING


@pytest.mark.parametrize("mode", [1, 2, -1])
def test_augmentation_needs_a_factor(mode: int) -> None:
    tucker = Tucker(torch.ones(2, 3), (torch.eye(4, 2), None))
    with pytest.raises(ShapeError, match="have no factor"):
        tucker.augment({mode: torch.ones(3, 1)})
    with pytest.raises(ShapeError, match="same number of rows"):
        tucker.augment({0: torch.ones(3, 1)})

"""Scores of CP decompositions see what they should and nothing else; the peers fit what is easy."""

import pytest
import torch
from benchmarks._cp_problems import congruent, factors_of, gaussian, hidden, seeded, sparse_nonnegative
from benchmarks._cp_scores import column_difference, component_congruence, hidden_error, relative_error

SHAPE = (7, 6, 5)


@pytest.fixture
def truth():
    return factors_of(gaussian(SHAPE, 3, seeded(0)))


def changed(factors):
    """The same components in another order, with other scales and signs."""
    order, scale = torch.tensor([2, 0, 1]), torch.tensor([2.0, -0.5, 4.0], dtype=torch.float64)
    first, second, third = (factor[:, order] for factor in factors)
    return [first * scale, second / scale, third]


def test_scores_do_not_see_order_scale_and_signs(truth):
    other = changed(truth)
    x = torch.einsum("ar,br,cr->abc", *truth)
    assert relative_error(x, other) < 1e-15
    torch.testing.assert_close(component_congruence(truth, other), torch.ones(3, dtype=torch.float64))
    assert column_difference(truth, other) < 1e-15


def test_a_lost_component_is_seen_beside_many_others(truth):
    found = [torch.cat([factor[:, :2], factor[:, :1], factor[:, 1:2]], dim=1) for factor in truth]
    match = component_congruence(truth, found)
    assert match[:2].min() > 1 - 1e-12
    assert match[2] < 0.9


def test_too_few_components_leave_a_true_one_without_partner(truth):
    match = component_congruence(truth, [factor[:, :2] for factor in truth])
    assert match.tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_one_entry_of_a_column_is_seen(truth):
    other = [factor.clone() for factor in truth]
    other[1][2, 1] += 1e-6
    assert 1e-8 < column_difference(truth, other) < 1e-5


def test_the_hidden_error_reads_hidden_entries_only(truth):
    x = torch.einsum("ar,br,cr->abc", *truth)
    observed = hidden(SHAPE, 0.5, seeded(1))
    assert hidden_error(torch.where(observed, x + 1e6, x), truth, observed) < 1e-15
    assert hidden_error(torch.where(observed, x, 2 * x), truth, observed) == pytest.approx(0.5)


def test_what_is_not_finite_is_no_success(truth):
    x = torch.einsum("ar,br,cr->abc", *truth)
    broken = [truth[0] * torch.nan, *truth[1:]]
    assert relative_error(x, broken) == float("inf")
    assert hidden_error(x, broken, hidden(SHAPE, 0.5, seeded(1))) == float("inf")


def test_peers_fit_an_easy_tensor():
    pytest.importorskip("pyttb")
    from benchmarks._cp_peers import pyttb_als, start, tensorly_als

    components = factors_of(congruent(SHAPE, 3, 0.3, seeded(0)))
    x = torch.einsum("ar,br,cr->abc", *components)
    init = start(SHAPE, 3, 5)
    kept = [factor.copy() for factor in init]
    for found in (
        tensorly_als(x, 3, init=init),
        tensorly_als(x, 3, init=init, linesearch=True),
        pyttb_als(x, 3, init=init),
    ):
        assert relative_error(x, found) < 1e-4
        assert component_congruence(components, found).min() > 0.999
    assert all((a == b).all() for a, b in zip(init, kept, strict=True))
    first = [side(x, 3, init=init, iterations=1, tolerance=0) for side in (tensorly_als, pyttb_als)]
    assert column_difference(*first) < 1e-10


def test_peers_with_a_mask_fill_gaps_and_never_read_them():
    pytest.importorskip("pyttb")
    from benchmarks._cp_peers import em_als, tensorly_als

    x = gaussian(SHAPE, 2, seeded(0)).to_dense()
    observed = hidden(SHAPE, 0.2, seeded(1))
    spoilt = torch.where(observed, x, 1e6)
    for found in (em_als(spoilt, 2, observed, seed=1), tensorly_als(spoilt, 2, observed=observed, seed=1)):
        assert hidden_error(x, found, observed) < 1e-3


def test_the_non_negative_peer_is_non_negative():
    pytest.importorskip("pyttb")
    from benchmarks._cp_peers import tensorly_hals

    x = sparse_nonnegative(SHAPE, 2, 0.0, seeded(0)).to_dense()
    found = tensorly_hals(x, 2, seed=0)
    assert relative_error(x, found) < 1e-3
    assert all(float(factor.min()) >= 0 for factor in found)

import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold.linalg import fold_mode, map_same_shape, mode_product, unfold
from rankfold.testing import assert_same

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@given(shapes, st.data())
def test_fold_undoes_unfold(shape: tuple[int, ...], data: st.DataObject) -> None:
    mode = data.draw(st.integers(0, len(shape) - 1))
    tensor = torch.randn(shape)
    assert torch.equal(fold_mode(unfold(tensor, mode), mode, shape), tensor)


@given(shapes, st.data())
def test_unfolding_has_one_row_per_slice(shape: tuple[int, ...], data: st.DataObject) -> None:
    mode = data.draw(st.integers(0, len(shape) - 1))
    tensor = torch.randn(shape)
    for index in range(shape[mode]):
        assert torch.equal(unfold(tensor, mode)[index], tensor.select(mode, index).flatten())


@given(shapes, st.data())
def test_mode_product_multiplies_the_unfolding(shape: tuple[int, ...], data: st.DataObject) -> None:
    mode = data.draw(st.integers(0, len(shape) - 1))
    tensor, matrix = (
        torch.randn(shape, dtype=torch.float64),
        torch.randn(3, shape[mode], dtype=torch.float64),
    )
    product = mode_product(tensor, matrix, mode)
    expected = matrix @ unfold(tensor, mode)
    assert_same(unfold(product, mode), expected, terms=4)


def test_map_keeps_the_order_of_mixed_shapes(as_on_a_gpu: None) -> None:
    problems = [torch.full((size, 2), float(index)) for index, size in enumerate((3, 1, 3, 2, 1))]
    calls = []

    def describe(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(batch.shape[0])
        return batch.sum((-2, -1)), batch + 1

    results = map_same_shape(describe, problems)
    assert sorted(calls) == [1, 2, 2]
    for problem, (total, plus) in zip(problems, results, strict=True):
        assert total == problem.sum()
        assert torch.equal(plus, problem + 1)


def test_map_separates_dtypes(as_on_a_gpu: None) -> None:
    results = map_same_shape(lambda batch: batch * 2, [torch.ones(2), torch.ones(2, dtype=torch.float64)])
    assert [result.dtype for result in results] == [torch.float32, torch.float64]

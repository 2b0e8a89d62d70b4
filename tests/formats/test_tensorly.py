"""The formats mean what they mean in tensorly."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rankfold import CP, TT, ShapeError, TTMatrix, Tucker
from rankfold.testing import assert_same

tl = pytest.importorskip("tensorly", reason="tensorly is not installed")


@pytest.fixture(autouse=True)
def torch_backend() -> Iterator[None]:
    with tl.backend_context("pytorch", local_threadsafe=True):
        yield


def normal(*size: int) -> torch.Tensor:
    return torch.randn(size, dtype=torch.float64)


def test_cp() -> None:
    value = CP(normal(3), (normal(4, 3), normal(5, 3), normal(2, 3)))
    assert_same(value.to_dense(), tl.cp_to_tensor(value.to_tensorly()), terms=20)
    assert_same(value.norm(), tl.cp_tensor.cp_norm(value.to_tensorly()), terms=20)
    theirs = tl.cp_tensor.cp_normalize(value.to_tensorly())
    assert_same(value.normalize().weights, theirs.weights.abs(), terms=20)
    back = CP.from_tensorly(theirs)
    assert_same(back.to_dense(), value.to_dense(), terms=20)
    assert CP.from_tensorly((None, theirs.factors)).weights.tolist() == [1.0] * 3


def test_tucker() -> None:
    value = Tucker(normal(2, 3, 2), (normal(4, 2), None, normal(5, 2)))
    assert_same(value.to_dense(), tl.tucker_to_tensor(value.to_tensorly()), terms=20)
    theirs = tl.tucker_tensor.tucker_normalize(value.to_tensorly())
    assert_same(Tucker.from_tensorly(theirs).to_dense(), value.to_dense(), terms=20)


def test_tt() -> None:
    value = TT((normal(1, 4, 2), normal(2, 5, 3), normal(3, 2, 1)))
    assert_same(value.to_dense(), tl.tt_to_tensor(value.to_tensorly()), terms=20)
    dense = normal(4, 5, 3, 2)
    theirs = tl.decomposition.tensor_train(dense, rank=[1, 3, 4, 2, 1])
    ours = TT.from_dense(dense, ranks=(3, 4, 2))
    assert_same(TT.from_tensorly(theirs).to_dense(), ours.to_dense(), terms=100)


def test_tt_matrix() -> None:
    value = TTMatrix((normal(1, 4, 2, 3), normal(3, 2, 5, 2), normal(2, 3, 1, 1)))
    assert_same(value.to_dense(), tl.tt_matrix_to_matrix(value.to_tensorly()), terms=20)
    dense = normal(12, 10)
    theirs = tl.decomposition.tensor_train_matrix(dense.reshape(4, 3, 2, 5), rank=[1, 6, 1])
    ours = TTMatrix.from_dense(dense, (4, 3), (2, 5), ranks=6)
    assert_same(TTMatrix.from_tensorly(theirs).to_dense(), ours.to_dense(), terms=100)


def test_arrays() -> None:
    array = np.arange(6.0).reshape(3, 2)
    array.setflags(write=False)
    cp = CP.from_tensorly(
        (np.ones(2, dtype=np.float32), [array.astype(np.float32), np.ones((4, 2), np.float32)])
    )
    assert cp.dtype == torch.float32
    assert CP.from_tensorly((None, [array, array])).factors[0].tolist() == array.tolist()
    assert Tucker.from_tensorly((np.ones((2, 2)), [array, array])).shape == (3, 3)
    assert TT.from_tensorly([array.reshape(1, 3, 2), np.ones((2, 4, 1))]).ranks == (2,)
    with pytest.raises(ShapeError, match="floating-point"):
        CP.from_tensorly((None, [np.ones((3, 2), dtype=np.int64)] * 2))

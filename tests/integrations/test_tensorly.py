"""Values to TensorLy and back, with TensorLy itself at the other end."""

import numpy as np
import pytest
import torch

import rankfold as rf
from rankfold import CP, TT, TTMatrix, Tucker
from rankfold.integrations import from_tensorly, to_tensorly

tensorly = pytest.importorskip("tensorly", reason="tensorly is not installed")


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


VALUES = {
    "cp": CP(random(3), (random(4, 3), random(5, 3), random(6, 3))),
    "tucker": Tucker(random(2, 3, 4), (random(5, 2), random(6, 3), random(7, 4))),
    "tucker without a factor": Tucker(random(2, 3, 4), (random(5, 2), None, random(7, 4))),
    "tt": TT((random(1, 4, 2), random(2, 5, 3), random(3, 6, 1))),
    "tt matrix": TTMatrix((random(1, 2, 3, 4), random(4, 3, 2, 1))),
}


def close(one, two):
    return np.allclose(np.asarray(one), np.asarray(two), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "pytorch"])
@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_there_and_back(name, classes, backend):
    value = VALUES[name]
    theirs = to_tensorly(value, backend=backend, classes=classes)
    assert tensorly.get_backend() == "numpy"
    with tensorly.backend_context(backend):
        multiply_out = {
            CP: tensorly.cp_to_tensor,
            Tucker: tensorly.tucker_to_tensor,
            TT: tensorly.tt_to_tensor,
            TTMatrix: tensorly.tt_matrix.tt_matrix_to_tensor,
        }[type(value)]
        dense = multiply_out(theirs)
    dense = np.asarray(dense).reshape(value.shape)  # of a matrix: all rows before all columns
    assert close(dense, value.to_dense())
    back = from_tensorly(theirs)
    assert type(back) is type(value)
    assert close(back.to_dense(), value.to_dense())
    assert (type(theirs) in (tuple, list)) is not classes


def test_weights_folded_or_none():
    value = VALUES["cp"]
    weights, factors = to_tensorly(value, fold_weights=True)
    assert (weights == 1).all()
    assert close(tensorly.cp_to_tensor((None, factors)), value.to_dense())
    assert close(from_tensorly((None, factors)).to_dense(), value.to_dense())
    assert close(factors[1], value.factors[1])  # as it was


def test_what_tensorly_computes():
    """Its decompositions of a tensor of low rank, partial ones too."""
    dense = VALUES["tucker"].to_dense()
    array = dense.numpy()
    parafac = tensorly.decomposition.parafac(array, 4, n_iter_max=5, init="random", random_state=0)
    assert close(from_tensorly(parafac).to_dense(), tensorly.cp_to_tensor(parafac))
    whole = tensorly.decomposition.tucker(array, [2, 3, 4])
    assert np.allclose(from_tensorly(whole).to_dense(), dense, atol=1e-9)
    partial = tensorly.decomposition.partial_tucker(array, rank=[2, 4], modes=[0, 2])
    core, factors = partial[0] if isinstance(partial[0], tuple | list) else partial
    ours = from_tensorly((core, factors), modes=[0, 2])
    assert ours.factors[1] is None
    assert np.allclose(ours.to_dense(), dense, atol=1e-9)
    train = tensorly.decomposition.tensor_train(array, [1, 2, 4, 1])
    assert close(from_tensorly(train).to_dense(), tensorly.tt_to_tensor(train))


def test_tensors_are_shared_and_need_no_copy():
    core, factors = torch.ones(2, 2), [torch.ones(3, 2), torch.ones(4, 2)]
    assert from_tensorly((core, factors)).core is core
    value = rf.cp(torch.ones(3, 4, 5), 1).tensor
    assert to_tensorly(value, backend="pytorch")[0] is value.weights
    value.factors[0].requires_grad_(True)
    assert to_tensorly(value)[1][0].shape == (3, 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "got a NoneType; pass a CPTensor"),
        ("ab", "got a str; pass a CPTensor"),
        ([], r"shapes \[\]"),
        ((None, []), "got no factors"),
        ((None, ["a", "b"]), "floating-point|that is no array"),
        ((np.ones((2, 2, 2)), [np.ones((3, 2))]), "1 factors for a core of shape"),
        ((np.ones(2), [np.ones((3, 1)), np.ones((3, 2))]), "CP"),
        ([np.ones((1, 2, 3)), np.ones((2, 2, 1))], "TT"),
        ([np.ones((2, 3, 2)), np.ones((2, 3, 2))], "TT"),  # a tensor ring
        ((np.ones(2, int), [np.ones((3, 2), int), np.ones((3, 2), int)]), "floating-point"),
        ([np.ones((2, 2))], r"shapes \[\(2, 2\)\]"),
    ],
)
def test_what_is_no_value_is_refused(value, words):
    with pytest.raises(rf.ShapeError, match=words):
        from_tensorly(value)


def test_what_has_no_counterpart_is_refused():
    slices = tensorly.random.random_parafac2([(4, 3), (5, 3)], 2)
    with pytest.raises(rf.ShapeError, match="PARAFAC2"):
        from_tensorly(slices)
    for wrong in (None, torch.ones(2), [torch.ones(1, 2, 1)]):
        with pytest.raises(rf.OptionError, match="pass a CP, Tucker, TT or TTMatrix"):
            to_tensorly(wrong)
    with pytest.raises(rf.OptionError, match="backend is 'jax'"):
        to_tensorly(VALUES["cp"], backend="jax")

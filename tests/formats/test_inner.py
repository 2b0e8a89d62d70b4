"""Inner products between different formats, against dense tensors."""

from itertools import product

import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import CP, TT, TTMatrix, Tucker
from rankfold.formats import Format, core_shapes, plan_modes
from rankfold.testing import assert_same


def one_of_each(shape: tuple[int, ...], rank: int) -> list[Format]:
    def normal(*size: int) -> torch.Tensor:
        return torch.randn(size, dtype=torch.float64)

    order = len(shape)
    bonds = (1, *[rank] * (order - 1), 1)
    cores = [normal(left, n, right) for left, n, right in zip(bonds[:-1], shape, bonds[1:], strict=True)]
    matrices: list[Format] = []
    if order == 2:
        sizes = [plan_modes(n, 2) for n in shape]
        matrices.append(TTMatrix(tuple(normal(*size) for size in core_shapes(*sizes, (rank,)))))
    return [
        *matrices,
        Tucker(normal(*[rank] * order), tuple(normal(n, rank) for n in shape)),
        Tucker(normal(rank, *shape[1:]), (normal(shape[0], rank), *[None] * (order - 1))),
        Tucker(normal(*shape), (None,) * order),
        CP(normal(rank + 1), tuple(normal(n, rank + 1) for n in shape)),
        TT(tuple(cores)),
    ]


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple),
    rank=st.integers(1, 3),
    exponent=st.sampled_from([-150, 0, 150]),
    seed=st.integers(0, 99),
)
def test_every_pair(shape: tuple[int, ...], rank: int, exponent: int, seed: int) -> None:
    torch.manual_seed(seed)
    for a, b in product(one_of_each(shape, rank), one_of_each(shape, rank)):
        expected = (a.to_dense() * b.to_dense()).sum()
        scaled = a._rebuilt([a.tensors[0] * 10.0**exponent, *a.tensors[1:]])
        allowed = 64 * (sum(shape) + rank) * len(shape) * torch.finfo(torch.float64).eps
        assert (scaled.inner(b) / 10.0**exponent - expected).abs() <= allowed * size(a) * size(b)


def size(value: Format) -> torch.Tensor:
    """The norm that the value would have if nothing in it cancelled."""
    return value._rebuilt([tensor.abs() for tensor in value.tensors]).norm()


def test_gradients_between_formats() -> None:
    values = one_of_each((2, 3, 2), 2)
    matrices = one_of_each((4, 6), 2)
    for a, b in (*product(values, values), *product(matrices, matrices)):
        if type(a) is not type(b):
            tensors = [tensor.requires_grad_() for tensor in a.tensors]
            assert torch.autograd.gradcheck(lambda *given, a=a, b=b: a._rebuilt(given).inner(b.to()), tensors)
            for tensor in tensors:
                tensor.requires_grad_(False)


def test_no_dense_tensor_is_formed() -> None:
    order = 30  # 4^30 entries are 10^18
    vectors = [torch.rand(4, 2, dtype=torch.float64) for _ in range(order)]
    components = CP(torch.ones(2, dtype=torch.float64), tuple(vectors))
    first = CP(torch.ones(1, dtype=torch.float64), tuple(vector[:, :1] for vector in vectors))
    train = TT(tuple(vector[:, :1].mT.unsqueeze(2) for vector in vectors))
    tucker = Tucker(torch.ones((1,) * order, dtype=torch.float64), first.factors)
    expected = torch.stack([(v.mT @ v[:, :1]).flatten() for v in vectors]).prod(0).sum()
    for value in (first, train, tucker):
        assert_same(components.inner(value), expected, terms=4 * order)
        assert_same(value.inner(components), expected, terms=4 * order)
        assert_same(value.inner(train), first.norm() ** 2, terms=4 * order)

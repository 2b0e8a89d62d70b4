"""Factored forms as chains of plain ``nn`` layers.

Axes: m outputs, n inputs, window k_1 x k_2 (none in linear layers), rank r. The weight of a dense layer is
``(m, n)`` or ``(m, n, k_1, k_2)``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from rankfold._registry import Registry
from rankfold.decompose import cp
from rankfold.formats import CP, Tucker, feasible_ranks, full_ranks

__all__ = ["DIRECT_FORMS", "Dense", "DirectForm", "random_start", "scaled"]

Dense = nn.Linear | nn.Conv2d
Shape = Sequence[int]

# Sweeps of alternating least squares from a dense weight to its CP form; choice of this library. Weights of a network
# have no few true components to be found: the error falls slowly, and more sweeps gain little.
_SWEEPS = 50


@dataclass(frozen=True, slots=True)
class DirectForm:
    """A factored form as a chain of plain layers.

    Arguments:
        name: as in ``replace_directly(form=...)``.
        summary: the chain, in one line.
        source: the paper.
        largest_rank: of the weights of a shape.
        parameters: numbers in the layers for a shape and a rank, biases apart.
        approximate: from a dense weight, a rank and a source of randomness to the value near it.
        random: from a shape, a rank and a source of randomness to a value of normal factors.
        chain: from a dense layer and the value of its weight to the plain layers that take its place.
    """

    name: str
    summary: str
    source: str
    largest_rank: Callable[[Shape], int]
    parameters: Callable[[Shape, int], int]
    approximate: Callable[[Tensor, int, torch.Generator], Any]
    random: Callable[[Shape, int, torch.Generator], Any]
    chain: Callable[[Dense, Any], nn.Sequential]


def random_start(form: DirectForm, weight: Tensor, rank: int, generator: torch.Generator) -> Any:
    """Random factors of the form with the norm of a dense weight, so with its mean square entry."""
    value = form.random(tuple(weight.shape), rank, generator).to(dtype=torch.float64, device=weight.device)
    return scaled(value, torch.linalg.vector_norm(weight.double()) / value.norm())


def scaled(value: Any, scale: Tensor) -> Any:
    """A value times a number, which goes to its weights or its core."""
    if isinstance(value, CP):
        return CP(value.weights * scale, value.factors)
    return Tucker(value.core * scale, value.factors)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# -- matrix ----------------------------------------------------------------------------------------------


def _matrix(shape: Shape) -> tuple[int, int]:
    return shape[0], prod(shape[1:])


def _matrix_random(shape: Shape, rank: int, generator: torch.Generator) -> Tucker:
    rows, columns = _matrix(shape)
    factors = (_normal(generator, rows, rank), _normal(generator, columns, rank))
    return Tucker(torch.eye(rank, dtype=torch.float64), factors)


def _matrix_chain(dense: Dense, value: Tucker) -> nn.Sequential:
    """U sqrt(S) after sqrt(S) Vᵀ; the window belongs to the first, as in Schotthöfer et al. 2022."""
    basis = value.orthonormalize()
    left, right = basis.factors
    assert left is not None
    assert right is not None
    inner_left, values, inner_right = torch.linalg.svd(basis.core, full_matrices=False)
    root = values.sqrt()
    first = (right @ (inner_right.mT * root)).mT.reshape(len(root), *dense.weight.shape[1:])
    return nn.Sequential(
        _layer(dense, first, (0, 1)), _layer(dense, left @ (inner_left * root), (), last=True)
    )


# -- Tucker ----------------------------------------------------------------------------------------------


def _tucker_ranks(shape: Shape, rank: int) -> tuple[int, int]:
    outer, inner = (min(rank, full) for full in full_ranks(shape, (0, 1)))
    outer, inner = feasible_ranks((outer, inner, *shape[2:]), (0, 1))
    return outer, inner


def _tucker_parameters(shape: Shape, rank: int) -> int:
    outer, inner = _tucker_ranks(shape, rank)
    return shape[0] * outer + outer * inner * prod(shape[2:]) + inner * shape[1]


def _tucker_approximate(weight: Tensor, rank: int, generator: torch.Generator) -> Tucker:
    return Tucker.from_dense(weight.double(), ranks=_tucker_ranks(weight.shape, rank), modes=(0, 1))


def _tucker_random(shape: Shape, rank: int, generator: torch.Generator) -> Tucker:
    outer, inner = _tucker_ranks(shape, rank)
    factors = (_normal(generator, shape[0], outer), _normal(generator, shape[1], inner))
    core = _normal(generator, outer, inner, *shape[2:])
    return Tucker(core, (*factors, *[None] * (len(shape) - 2))).orthonormalize()


def _tucker_chain(dense: Dense, value: Tucker) -> nn.Sequential:
    """Inputs to inner ranks, core, outer ranks to outputs; the core carries the norm, as Tucker forms do."""
    outer, inner = value.factors[:2]
    assert outer is not None
    assert inner is not None
    return nn.Sequential(
        _layer(dense, inner.mT, ()), _layer(dense, value.core, (0, 1)), _layer(dense, outer, (), last=True)
    )


# -- CP --------------------------------------------------------------------------------------------------


def _cp_shape(shape: Shape) -> tuple[int, ...]:
    """Without axes of the window of length 1, which would only give each component a second scale."""
    return (*shape[:2], *(size for size in shape[2:] if size > 1))


def _cp_largest(shape: Shape) -> int:
    return max(prod(shape) // max(shape), 1)


def _cp_approximate(weight: Tensor, rank: int, generator: torch.Generator) -> CP:
    weight = weight.reshape(_cp_shape(weight.shape))
    if weight.ndim > 2:
        return cp(weight, rank, method="als", max_iterations=_SWEEPS, generator=generator).tensor.to(
            dtype=torch.float64
        )
    left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
    return CP(values[:rank], (left[:, :rank], right[:rank].mT))


def _cp_random(shape: Shape, rank: int, generator: torch.Generator) -> CP:
    factors = tuple(_normal(generator, size, rank) for size in _cp_shape(shape))
    return CP(torch.ones(rank, dtype=torch.float64), factors)


def _cp_chain(dense: Dense, value: CP) -> nn.Sequential:
    """Inputs to components, one depthwise layer per axis of the window, components to outputs."""
    outer, inner, *windows = value.balance().factors
    axes = [axis for axis, size in enumerate(dense.weight.shape[2:]) if size > 1]
    others = tuple({0, 1} - set(axes))  # their stride and padding need a place too
    middle = [
        _layer(dense, window.mT.unsqueeze(1).unsqueeze(3 - axis), (axis,), depthwise=True)
        for axis, window in zip(axes, windows, strict=True)
    ]
    return nn.Sequential(_layer(dense, inner.mT, others), *middle, _layer(dense, outer, (), last=True))


# -- plain layers ----------------------------------------------------------------------------------------


def _layer(
    dense: Dense, weight: Tensor, axes: Sequence[int], *, depthwise: bool = False, last: bool = False
) -> nn.Module:
    """One layer of a chain.

    Arguments:
        dense: what the chain stands for.
        weight: ``(outputs, inputs)``, or with a window ``(outputs, inputs per group, l_1, l_2)``.
        axes: the axes of the window, of 0 and 1, whose stride, padding and dilation belong to this layer.
        depthwise: as many groups as channels.
        last: whether it gets the bias.
    """
    kind = {"device": dense.weight.device, "dtype": dense.weight.dtype}
    if isinstance(dense, nn.Linear):
        layer: Any = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=False, **kind)
    else:
        weight = weight.reshape(*weight.shape, 1, 1) if weight.ndim == 2 else weight
        groups = len(weight) if depthwise else 1

        def along(values: Sequence[Any], otherwise: int) -> tuple[int, int]:
            first, second = (value if axis in axes else otherwise for axis, value in enumerate(values))
            return first, second

        layer = skip_init(
            nn.Conv2d,
            weight.shape[1] * groups,
            len(weight),
            tuple(weight.shape[2:]),
            stride=along(dense.stride, 1),
            padding=dense.padding if isinstance(dense.padding, str) else along(dense.padding, 0),
            dilation=along(dense.dilation, 1),
            groups=groups,
            bias=False,
            padding_mode=dense.padding_mode,
            **kind,
        )
    layer.weight.copy_(weight)
    layer.weight.requires_grad_(dense.weight.requires_grad)
    if last:
        layer.bias = dense.bias
    return layer


DIRECT_FORMS: Registry[DirectForm] = Registry(
    "direct form",
    DirectForm(
        name="matrix",
        summary="outputs x rest as U sqrt(S) times sqrt(S) Vᵀ: a layer with the window, then one without",
        source="Schotthöfer et al. 2022, Low-rank lottery tickets: the network U Vᵀ of its experiments",
        largest_rank=lambda shape: min(_matrix(shape)),
        parameters=lambda shape, rank: rank * sum(_matrix(shape)),
        approximate=lambda weight, rank, generator: Tucker.from_dense(weight.double().flatten(1), ranks=rank),
        random=_matrix_random,
        chain=_matrix_chain,
    ),
    DirectForm(
        name="tucker",
        summary="1 x 1, window, 1 x 1; of a linear layer Vᵀ, S, U as three layers",
        source="Kim et al. 2016, Compression of deep convolutional neural networks for fast and low power mobile",
        largest_rank=lambda shape: max(full_ranks(shape, (0, 1))),
        parameters=_tucker_parameters,
        approximate=_tucker_approximate,
        random=_tucker_random,
        chain=_tucker_chain,
    ),
    DirectForm(
        name="cp",
        summary="1 x 1, depthwise along each axis of the window, 1 x 1; of a linear layer the same as matrix",
        source="Lebedev et al. 2015, Speeding-up convolutional neural networks using fine-tuned CP-decomposition",
        largest_rank=_cp_largest,
        parameters=lambda shape, rank: rank * sum(_cp_shape(shape)),
        approximate=_cp_approximate,
        random=_cp_random,
        chain=_cp_chain,
    ),
)

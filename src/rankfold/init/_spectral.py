"""Plain layers -> the same layers with weights in a format, by decomposing what they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from rankfold._checks import check_generator
from rankfold._errors import NonFiniteError, RankError
from rankfold._registry import Registry
from rankfold.convert._plain_layers import plain_layers
from rankfold.convert._select import Selector
from rankfold.formats import CP, TT, Format, TTMatrix, Tucker, full_bonds, full_ranks, plan_modes
from rankfold.init._approximate import nearest_cp
from rankfold.init._balance import balanced
from rankfold.layers import kernel_matrix, kernel_matrix_shape, write_weight
from rankfold.layers._tt_matrix_layer import CORES

__all__ = ["FORMS", "Form", "WrittenWeight", "spectral"]


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write the weight of a plain layer in a format.

    Arguments:
        name: as in :func:`spectral`.
        largest_rank: of the weights of a shape, or None where it cannot hold them.
        build: from a weight, a rank and a source of random numbers to the value.
        summary: one sentence.
        source: the papers.
    """

    name: str
    largest_rank: Callable[[Sequence[int]], int | None]
    build: Callable[[Tensor, int, torch.Generator | None], Format]
    summary: str
    source: str


def _train_rank(shape: Sequence[int]) -> int:
    heads = [prod(shape[:k]) for k in range(1, len(shape))]
    return max(min(head, prod(shape) // head) for head in heads)


def _cp_rank(shape: Sequence[int]) -> int:
    return prod(shape) // max(shape)


def _tt_matrix_rank(shape: Sequence[int]) -> int | None:
    """The largest full bond, or None where there is no matrix or its sizes have no factors that a bond could join."""
    if len(shape) not in (2, 4):
        return None
    sizes = kernel_matrix_shape(shape) if len(shape) == 4 else shape
    largest = max(full_bonds(*(plan_modes(size, CORES) for size in sizes)))
    return largest if largest > 1 else None


def _tt_matrix(weight: Tensor, rank: int, generator: torch.Generator | None) -> TTMatrix:
    matrix = kernel_matrix(weight) if weight.ndim == 4 else weight
    return TTMatrix.from_dense(matrix, *(plan_modes(size, CORES) for size in matrix.shape), ranks=rank)


def _cp(weight: Tensor, rank: int, generator: torch.Generator | None) -> CP:
    return nearest_cp(weight, rank, generator)


FORMS: Registry[Form] = Registry(
    "form",
    Form(
        name="separable",
        largest_rank=lambda shape: min(shape[0] * shape[2], shape[1] * shape[3]) if len(shape) == 4 else None,
        build=lambda weight, rank, _: TT.from_dense(kernel_matrix(weight), ranks=rank),
        summary="a kernel as a product of two matrices, (outputs, rows) x r and r x (inputs, columns)",
        source="Khodak et al. 2021, Initialization and regularization of factorized neural layers, section 3",
    ),
    Form(
        name="tt",
        largest_rank=_train_rank,
        build=lambda weight, rank, _: TT.from_dense(weight, ranks=rank),
        summary="a tensor train along the axes of the weight; of a matrix U Vᵀ",
        source="Oseledets 2011, Tensor-train decomposition",
    ),
    Form(
        name="tt_matrix",
        largest_rank=_tt_matrix_rank,
        build=_tt_matrix,
        summary=f"a matrix, or that of a kernel, with rows and columns in {CORES} factors and a core for each",
        source="Novikov et al. 2015, Tensorizing neural networks",
    ),
    Form(
        name="cp",
        largest_rank=_cp_rank,
        build=_cp,
        summary="a sum of outer products; of a matrix by SVD, else by alternating least squares",
        source="Lebedev et al. 2015, Speeding-up convolutional neural networks using fine-tuned CP-decomposition",
    ),
    Form(
        name="tucker",
        largest_rank=lambda shape: max(full_ranks(shape, range(len(shape)))),
        build=lambda weight, rank, _: Tucker.from_dense(weight, ranks=rank),
        summary="a core and a factor for every axis; rankfold.factorize makes layers of that kind that compute faster",
        source="Tucker 1966; Vannieuwenhoven, Vandebril, Meerbergen 2012",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenWeight:
    """One layer whose weight is in a format now.

    Arguments:
        name: of the layer.
        ranks: of the format.
        parameters_before, parameters_after: numbers of the weight.
        error: of the approximation, relative to the norm of the weight.
    """

    name: str
    ranks: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    error: float


@torch.no_grad()
def spectral(
    model: nn.Module,
    form: str,
    rank: int | float,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    balance: bool = True,
    generator: torch.Generator | None = None,
) -> tuple[WrittenWeight, ...]:
    """Write the weights of plain layers in a format, by decomposing what they hold, in place.

    For a new network this is the spectral initialisation of the format: the best part of a usual start that its rank
    can hold. For a trained one it is the usual compression. The layers multiply the dense weight out when they run;
    those of :func:`rankfold.factorize` need not, but know only Tucker tensors and TT-matrices.

    Arguments:
        model: any module; its layers with a weight matrix, table or kernel of their own are meant.
        form: a name in :data:`FORMS`: ``'separable'``, ``'tt'``, ``'tt_matrix'``, ``'cp'`` or ``'tucker'``.
        rank: a whole number, or a share in (0, 1] of the largest rank of each weight. A number above what a weight
            allows is lowered for it.
        include: regular expressions for whole module names, or module classes; None means all that the form can hold.
        exclude: likewise, the layers to leave alone.
        balance: share the norm evenly among the tensors (:func:`balanced`), so that their gradients are of one size.
        generator: source of random starts, for ``'cp'``; None is torch's global one.

    Returns:
        One row per layer.

    Raises:
        OptionError: an unknown form, no layer to write, or a weight that several modules share.
        RankError: a rank that is neither a number from 1 nor a share.
        SelectorError: a selector that matches no layer.
        NonFiniteError: a weight holds NaN or infinity. Nothing is changed if an error is raised.

    Reference:
        Khodak, Tenenholtz, Mackey, Fusi 2021, "Initialization and regularization of factorized neural layers".

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
        >>> rows = spectral(model, "separable", 4)
        >>> [(row.name, row.ranks, row.parameters_before, row.parameters_after) for row in rows]
        [('0', (4,), 432, 228)]
    """
    chosen = FORMS[form]
    check_generator("spectral", generator)
    whole = isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1
    if not (whole or (isinstance(rank, float) and 0 < rank <= 1)):
        raise RankError(
            f"spectral: rank must be a whole number from 1 or a share in (0, 1], got {rank!r}; pass such a number."
        )
    layers = plain_layers(
        f"spectral: {form}",
        model,
        include,
        exclude,
        lambda weight: chosen.largest_rank(weight.shape) is not None,
    )
    values, rows = [], []
    for name, layer in layers.items():
        weight = layer._parameters["weight"]
        assert weight is not None
        value, error = _decomposed(chosen, name, weight.detach(), rank, generator)
        if balance:
            value = balanced(value)
        values.append((layer, value.to(dtype=weight.dtype)))
        rows.append(
            WrittenWeight(
                name=name,
                ranks=value.ranks,
                parameters_before=weight.numel(),
                parameters_after=value.num_parameters,
                error=error,
            )
        )
    for layer, value in values:
        write_weight(layer, value)
    return tuple(rows)


def _decomposed(
    form: Form, name: str, weight: Tensor, rank: int | float, generator: torch.Generator | None
) -> tuple[Format, float]:
    """The value in float64, and its relative error."""
    largest = form.largest_rank(weight.shape)
    assert largest is not None
    number = min(rank, largest) if isinstance(rank, int) else max(round(rank * largest), 1)
    dense = weight.double()
    if not bool(dense.isfinite().all()):
        raise NonFiniteError(
            f"spectral: the weight of layer {name!r} holds NaN or infinity; all entries must be finite, so exclude it "
            "or start from a sound checkpoint."
        )
    value = form.build(dense, number, generator).to(dtype=torch.float64)
    target = dense if value.shape == tuple(dense.shape) else kernel_matrix(dense)
    norm = float(torch.linalg.vector_norm(target))
    distance = float(torch.linalg.vector_norm(value.to_dense() - target))
    return value, distance / norm if norm else 0.0

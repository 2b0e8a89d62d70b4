"""Values of TensorLy in and out, as its classes or plain tuples; it is imported only where its classes are wanted."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import OptionError, ShapeError
from rankfold.formats import CP, TT, TTMatrix, Tucker

__all__ = ["from_tensorly", "to_tensorly"]

_KINDS = {CP: "CPTensor", Tucker: "TuckerTensor", TT: "TTTensor", TTMatrix: "TTMatrix"}


def from_tensorly(value: Any, *, modes: Sequence[int] | None = None) -> CP | Tucker | TT | TTMatrix:
    """A decomposition of TensorLy as a value of this library.

    Tensors of torch are shared, other arrays are copied.

    Arguments:
        value: a ``CPTensor``, ``TuckerTensor``, ``TTTensor`` or ``TTMatrix``, or what stands for one: a pair
            ``(weights, factors)``, where weights may be None, a pair ``(core, factors)``, or a list of cores
            ``(r, n, r')`` or ``(r, o, i, r')``.
        modes: of the factors of a Tucker tensor that has fewer of them than modes, as ``partial_tucker`` gives.

    Raises:
        ShapeError: anything else, or parts that do not belong together.

    Example:
        >>> import numpy as np
        >>> from_tensorly((None, [np.ones((3, 2)), np.ones((4, 2))]))
        CP(shape=(3, 4), rank=2, float64)
        >>> from_tensorly((np.ones((2, 5)), [np.ones((3, 2))]), modes=[0])
        Tucker(shape=(3, 5), ranks=(2, 5), float64)
    """
    if hasattr(value, "projections"):
        raise ShapeError(
            "from_tensorly: got a PARAFAC2 tensor, whose slices have sizes of their own; pass CP, Tucker or TT."
        )
    parts = value if isinstance(value, list | tuple) else _parts(value)
    if len(parts) == 2 and isinstance(parts[1], list | tuple):
        factors = [_tensor(factor) for factor in parts[1]]
        lead = None if parts[0] is None else _tensor(parts[0])
        if lead is None or lead.ndim == 1:
            if not factors:
                raise ShapeError("from_tensorly: got no factors; pass two or more.")
            like = factors[0]
            return CP(like.new_ones(like.shape[-1]) if lead is None else lead, tuple(factors))
        where = tuple(range(lead.ndim)) if modes is None else modes
        known = isinstance(where, Sequence) and set(where) <= set(range(lead.ndim))
        if not known or not len(where) == len(set(where)) == len(factors):
            raise ShapeError(
                f"from_tensorly: got {len(factors)} factors for a core of shape {tuple(lead.shape)} and modes "
                f"{modes!r}; name the mode of each factor."
            )
        by_mode = dict(zip(where, factors, strict=True))
        return Tucker(lead, tuple(by_mode.get(mode) for mode in range(lead.ndim)))
    cores = tuple(_tensor(core) for core in parts)
    orders = {core.ndim for core in cores}
    if orders == {3}:
        return TT(cores)
    if orders == {4}:
        return TTMatrix(cores)
    raise ShapeError(
        f"from_tensorly: got arrays of shapes {[tuple(core.shape) for core in cores]}; pass (weights, factors), "
        "(core, factors), or cores of order 3 or 4."
    )


def to_tensorly(
    value: CP | Tucker | TT | TTMatrix,
    *,
    backend: Literal["numpy", "pytorch"] = "numpy",
    fold_weights: bool = False,
    classes: bool = False,
) -> Any:
    """A value of this library as TensorLy takes it: a pair of CP or Tucker, a list of cores of a train.

    Arguments:
        value: to write; a mode without factor gets the identity.
        backend: of the arrays, ``'numpy'`` or ``'pytorch'``. Arrays of NumPy share the memory of tensors on the CPU
            that need no gradient.
        fold_weights: of CP, into the first factor; the weights are ones then.
        classes: give TensorLy's own classes, for which it is imported.

    Returns:
        A pair, a list, or an object of TensorLy.

    Raises:
        OptionError: no value of a format, another backend, or TensorLy is not installed.

    Example:
        >>> cp = CP(torch.tensor([2.0]), (torch.ones(3, 1), torch.ones(4, 1)))
        >>> weights, factors = to_tensorly(cp, fold_weights=True)
        >>> weights, factors[0].ravel()
        (array([1.], dtype=float32), array([2., 2., 2.], dtype=float32))
    """
    if backend not in ("numpy", "pytorch"):
        raise OptionError(f"to_tensorly: backend is {backend!r}; pass 'numpy' or 'pytorch'.")
    kind = _KINDS.get(type(value))
    if kind is None:
        raise OptionError(f"to_tensorly: got a {type(value).__name__}; pass a CP, Tucker, TT or TTMatrix.")

    def array(tensor: Tensor) -> Any:
        return tensor.detach().cpu().numpy() if backend == "numpy" else tensor

    if isinstance(value, CP):
        weights, factors = value.weights, list(value.factors)
        if fold_weights:
            weights, factors[0] = torch.ones_like(weights), factors[0] * weights
        plain: Any = (array(weights), [array(factor) for factor in factors])
    elif isinstance(value, Tucker):
        core = value.core
        whole = [
            torch.eye(size, dtype=core.dtype, device=core.device) if factor is None else factor
            for size, factor in zip(core.shape, value.factors, strict=True)
        ]
        plain = (array(core), [array(factor) for factor in whole])
    else:
        plain = [array(core) for core in value.cores]
    return _as_class(kind, plain, backend) if classes else plain


def _parts(value: Any) -> list[Any]:
    """Weights or core and factors, or cores, of a class of TensorLy or tensorly-torch."""
    factors = getattr(value, "factors", None)
    if factors is None:
        raise ShapeError(
            f"from_tensorly: got a {type(value).__name__}; pass a CPTensor, TuckerTensor, TTTensor or TTMatrix, or the "
            "tuple or list that stands for one."
        )
    for lead in ("weights", "core"):
        if hasattr(value, lead):
            return [getattr(value, lead), list(factors)]
    return list(factors)


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array
    try:
        return torch.from_numpy(np.array(array))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"from_tensorly: got a {type(array).__name__} that is no array ({error}); pass arrays of numbers."
        ) from None


def _as_class(kind: str, plain: Any, backend: str) -> Any:
    try:
        from tensorly import backend_context, cp_tensor, tt_matrix, tt_tensor, tucker_tensor  # pyright: ignore
    except ImportError as error:
        raise OptionError(
            f"to_tensorly: TensorLy cannot be imported ({error}); run pip install tensorly, or leave out classes=True."
        ) from None
    place = next(
        module for module in (cp_tensor, tucker_tensor, tt_tensor, tt_matrix) if hasattr(module, kind)
    )
    with backend_context(backend):
        return getattr(place, kind)(plain)

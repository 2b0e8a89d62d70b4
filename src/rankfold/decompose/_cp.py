"""``rankfold.cp``: from a tensor to its components."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankfold._collectives import Workers
from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.decompose import _auto, _gradient_flow  # noqa: F401  they register methods
from rankfold.decompose._check import Mask, checked_generator
from rankfold.decompose._cp_input import Input, read_input
from rankfold.decompose._cp_search import Found, exact_error, search
from rankfold.decompose._diagnostics import degeneracy
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._recorder import Callback, Recorder
from rankfold.decompose._result import CPDecomposition
from rankfold.decompose._runs import as_cp, as_run
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._together import agree_on, digest, same_generator
from rankfold.formats import CP

__all__ = ["cp"]

# Errors that the digits of the input explain, with two orders of magnitude to spare in float64.
_ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
_LOSSES = ("squared", "poisson")
_FEATURES = {
    "masked": "a mask",
    "sparse": "a sparse tensor",
    "nonnegative": "nonnegative=True",
    "poisson": "loss='poisson'",
    "init": "init",
    "sharded": "a sharded tensor",
}


def cp(
    x: Tensor | Any,
    rank: int | None = None,
    *,
    method: str | Method = "auto",
    mask: Mask = None,
    nonnegative: bool = False,
    symmetric: bool = False,
    loss: str = "squared",
    restarts: int | None = None,
    max_iterations: int | None = None,
    tolerance: float | None = None,
    init: CP | None = None,
    generator: torch.Generator | int | None = None,
    callback: Callback | None = None,
) -> CPDecomposition:
    """Write a tensor as a sum of as few outer products as it takes, ``x ≈ sum_r w_r a_r o b_r o ...``.

    Arguments:
        x: order 2 or more, float32 or float64 (half precision is widened), dense or ``torch.sparse_coo``; a torch
            tensor or anything ``torch.as_tensor`` takes, or a :class:`~rankfold.decompose.Sharded` tensor in files. It
            is not changed.
        rank: number of components, or None to find it: components are added until what they gain is no more than
            noise gives, and dropped again one by one.
        method: ``'auto'``, another name in ``rankfold.decompose.METHODS``, or a method of your own.
        mask: bool, True where an entry was observed; ``'nan'`` leaves NaN entries out.
        nonnegative: keep all factors >= 0.
        symmetric: all factors equal (up to a sign); x must not change when its modes are exchanged.
        loss: ``'squared'``, or ``'poisson'`` for counts (needs ``method='gradient_flow'`` and a rank).
        restarts: largest number of independent runs; they end earlier once two agree. None means 10 for ``'auto'``
            (1 on data with gaps of more than 2^15 entries) and 1 for the others.
        max_iterations: bound on the iterations of the method, None for its own.
        tolerance: stops the iterations of the method, None for its own rule.
        init: factors to start from, for methods that take them.
        generator: source of randomness (of the CPU) or a seed; None takes torch's global generator.
        callback: called with every :class:`TracePoint`; returning True ends the search with the best so far.

    Returns:
        The components (unit columns, largest weight first), the error, and how sure they are.

    Raises:
        ShapeError: another dtype, order or shape than allowed, all entries zero, a mask that hides a whole slice.
        NonFiniteError: NaN (without mask) or infinity.
        RankError: a rank that no tensor of this shape has.
        OptionError: an unknown option, or a combination that the method cannot do.

    Reference:
        Kolda and Bader 2009, "Tensor decompositions and applications", section 3; the methods name their own.

    Example:
        >>> import torch, rankfold
        >>> a, b, c = (torch.randn(n, 3, dtype=torch.float64) for n in (6, 7, 8))
        >>> parts = rankfold.cp(torch.einsum("ir,jr,kr->ijk", a, b, c), generator=0)
        >>> parts.rank, parts.relative_error < 1e-6, parts.agreement.reached
        (3, True, True)
    """
    workers = x.workers if isinstance(x, Sharded) else Workers()
    name = method.name if isinstance(method, Method) else method
    options = nonnegative, symmetric, loss, restarts, max_iterations, tolerance, mask is None
    _agree(workers, rank, name, init, *options)
    chosen = method if isinstance(method, Method) else METHODS[method]
    _check_options(chosen, x, mask, nonnegative, loss, init)
    if loss == "poisson" and rank is None:
        raise OptionError(
            "cp: with loss='poisson' the rank is not searched for; pass one, for instance that of the square roots."
        )
    if (
        isinstance(restarts, bool)
        or not isinstance(restarts, int | None)
        or (restarts is not None and restarts < 1)
    ):
        raise OptionError(f"cp: restarts must be a whole number from 1, got {restarts!r}; pass one or None.")
    source = checked_generator("cp", generator)
    source = same_generator("cp", workers, source, generator is not None)
    recorder = Recorder(callback, workers)
    given = read_input(
        x,
        mask,
        precise=chosen.name != "als",
        unit_norm=chosen.unit_norm,
        rank=rank,
        compressed=not (nonnegative or symmetric or init is not None or chosen.name == "als"),
    )
    data = given.data
    settings = Settings(
        generator=source,
        recorder=recorder,
        max_iterations=max_iterations,
        tolerance=tolerance,
        nonnegative=nonnegative,
        symmetric=symmetric,
        loss=loss,
        rounding=_ROUNDING[x.dtype if isinstance(x, Tensor) and x.dtype in _ROUNDING else given.like.dtype],
        init=None if init is None else _start(init, given, rank, nonnegative),
    )
    found = search(data, rank, settings, chosen, restarts)
    return _result(given, found, settings, chosen.name)


def _agree(workers: Workers, *options: object) -> None:
    told = [digest([part.weights, *part.factors]) if isinstance(part, CP) else part for part in options]
    agree_on(
        workers,
        repr(told),
        "cp: the workers were called with different arguments; call it alike on all of them.",
    )


def _result(given: Input, found: Found, settings: Settings, method: str) -> CPDecomposition:
    data, factors = given.data, found.factors
    error = as_run(data, factors).relative_error
    rank = factors[0].shape[1]
    settings.recorder.note(method, error, rank)
    whole = as_cp(given.restored(factors))
    model = CP(whole.weights * given.scale, whole.factors).canonicalize()
    return CPDecomposition(
        tensor=model.to(dtype=given.like.dtype, device=given.like.device),
        relative_error=error,
        method=method,
        trace=tuple(settings.recorder.points),
        agreement=replace(found.agreement, exact=error <= exact_error(data, rank, settings)),
        degeneracy=degeneracy(factors),
        core_consistency=found.core_consistency,
        rank_path=found.rank_path,
    )


def _start(init: CP, given: Input, rank: int | None, nonnegative: bool) -> Sequence[Tensor]:
    data = given.data
    if not all(bool(tensor.isfinite().all()) for tensor in (init.weights, *init.factors)):
        raise NonFiniteError("cp: init holds NaN or infinity; pass finite factors.")
    if nonnegative and min(float(tensor.min()) for tensor in (init.weights, *init.factors)) < 0:
        raise OptionError("cp: init has negative entries, but nonnegative=True; take their absolute values.")
    shape = tuple(data.shape[given.modes.index(mode)] for mode in range(len(data.shape)))
    if init.shape != shape or init.rank != rank:
        raise ShapeError(
            f"cp: init has shape {init.shape} and rank {init.rank}, the tensor {shape} and rank {rank}; pass an init "
            "of the same shape and rank."
        )
    start = CP(init.weights.detach() / given.scale, tuple(factor.detach() for factor in init.factors))
    moved = [factor.to(device=data.device, dtype=data.dtype) for factor in start.balance().factors]
    return given.ordered(moved)


def _check_options(
    method: Method, x: object, mask: Mask, nonnegative: bool, loss: str, init: CP | None
) -> None:
    if loss not in _LOSSES:
        raise OptionError(f"cp: loss must be one of {', '.join(_LOSSES)}, got {loss!r}; choose one of these.")
    if init is not None and not isinstance(init, CP):
        raise OptionError(
            f"cp: init must be a CP, got {type(init).__name__}; build one with CP(weights, factors)."
        )
    asked = {
        "masked": mask is not None,
        "sparse": isinstance(x, Tensor) and x.layout != torch.strided,
        "nonnegative": nonnegative,
        "poisson": loss == "poisson",
        "init": init is not None,
        "sharded": isinstance(x, Sharded),
    }
    if asked["sharded"] and asked["poisson"]:
        raise OptionError("cp: a sharded tensor does not take loss='poisson'; use loss='squared' for it.")
    for feature, wanted in asked.items():
        if wanted and feature not in method.takes:
            able = ", ".join(sorted(entry.name for entry in METHODS.values() if feature in entry.takes))
            raise OptionError(
                f"cp: the method {method.name!r} does not take {_FEATURES[feature]}; methods that do: {able or 'none'}."
            )

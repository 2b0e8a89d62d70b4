"""The CP methods by name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold._registry import Registry
from rankfold.decompose._data import Data
from rankfold.decompose._recorder import Recorder

__all__ = ["METHODS", "Method", "Settings", "Solve"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What every solver is told beside data and rank; :func:`rankfold.cp` makes it.

    Arguments:
        generator: source of all random numbers, on the CPU.
        recorder: takes the trace; a solver ends as soon as ``note`` returns True.
        max_iterations: bound on the iterations of the solver's own loop; None is the solver's default.
        tolerance: stop once the relative error falls by less than this per iteration; None is the solver's default.
        nonnegative: keep all factors >= 0.
        symmetric: keep all factors equal, up to a sign in the first of an even order.
        loss: ``'squared'``, or ``'poisson'`` for counts.
        init: factors to start from, or None for a start of the solver's own.
        rounding: relative error that the digits of the input explain.

    Raises:
        OptionError: ``max_iterations`` or ``tolerance`` out of range.

    Example:
        >>> import torch, rankfold
        >>> from rankfold.decompose import METHODS, Method
        >>> def solve(data, rank, settings):
        ...     print(settings.nonnegative, settings.tolerance)
        ...     return METHODS["als"].solve(data, rank, settings)
        >>> parts = rankfold.cp(torch.ones(3, 4, 5), 1, method=Method("loud", solve, "", ""), tolerance=1e-6)
        False 1e-06
    """

    generator: torch.Generator
    recorder: Recorder
    max_iterations: int | None = None
    tolerance: float | None = None
    nonnegative: bool = False
    symmetric: bool = False
    loss: str = "squared"
    init: Sequence[Tensor] | None = None
    rounding: float = 1e-10

    def __post_init__(self) -> None:
        most, least = self.max_iterations, self.tolerance
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise OptionError(
                f"cp: max_iterations must be a whole number from 1, got {most!r}; pass one, or None for its own bound."
            )
        number = isinstance(least, int | float) and not isinstance(least, bool)
        if least is not None and not (number and 0 <= least < 1):
            raise OptionError(
                f"cp: tolerance must lie in [0, 1), got {least!r}; pass such a number or None for the method's own."
            )


# Data, a rank and settings give one factor (n_i, R) per mode, columns balanced over the modes.
Solve = Callable[[Data, int, Settings], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Method:
    """A CP solver, for ``cp(method=...)``: one of ``METHODS``, or one of your own.

    Arguments:
        name: as in ``cp(method=...)``.
        solve: one run of the solver: data, rank and settings to one factor ``(n_i, R)`` per mode, columns balanced over
            the modes (:func:`balance`).
        summary: one sentence.
        source: the papers.
        takes: which of ``'masked', 'sparse', 'sharded', 'nonnegative', 'poisson', 'init'`` it can do;
            ``'symmetric'`` if it does so itself, otherwise its components are made symmetric afterwards.
        schedule: the solvers of the runs one after another; None repeats ``solve``.
        unit_norm: whether the solver relies on data of norm 1.

    Example:
        >>> import torch, rankfold
        >>> from rankfold.decompose import METHODS
        >>> patient = Method("patient", METHODS["greedy"].solve, "Greedy under another name.", "this example")
        >>> rankfold.cp(torch.ones(3, 4, 5), 1, method=patient).method
        'patient'
    """

    name: str
    solve: Solve
    summary: str
    source: str
    takes: frozenset[str] = frozenset()
    schedule: Callable[[Data, int, Settings], Iterator[Solve]] | None = None
    unit_norm: bool = False


METHODS: Registry[Method] = Registry("cp method")

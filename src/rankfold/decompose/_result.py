"""What a decomposition answers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rankfold._shown import Printed
from rankfold.formats import CP

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["Agreement", "CPDecomposition", "Decomposition", "Degeneracy", "RankStep", "TracePoint"]


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One line of the story of a run.

    Arguments:
        seconds: since the call.
        relative_error: ``||x - model|| / ||x||`` over the observed entries at that moment.
        method: what was working.
        rank: number of components then (the largest multilinear or TT rank for the other formats).
    """

    seconds: float
    relative_error: float
    method: str
    rank: int


@dataclass(frozen=True, slots=True)
class RankStep:
    """One rank that was tried.

    Arguments:
        rank: number of components.
        relative_error: the least found with so many.
        bic: Bayesian information criterion, smaller is better: ``N ln(RSS / N) + k (sum n_i - d + 1) ln N``.
        evidence: what the last component gains by what it would gain from noise; above 1 it counts. With gaps: the fall
            of the squared errors of held-out entries by three times its standard error.
    """

    rank: int
    relative_error: float
    bic: float
    evidence: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far independent runs found the same.

    Arguments:
        runs: independent starts made.
        agreeing: how many of them (the best one included) reached the best error with the same components.
        exact: whether the fit is exact to rounding, so that no better one exists.
    """

    runs: int
    agreeing: int
    exact: bool

    @property
    def reached(self) -> bool:
        """Whether the result is confirmed: an exact fit, or the same answer from two starts."""
        return self.exact or self.agreeing >= 2

    @property
    def sentence(self) -> str:
        """How sure the result is, in words.

        Example:
            >>> Agreement(runs=5, agreeing=3, exact=False).sentence
            'confirmed: 3 of 5 independent starts found these components'
        """
        if self.exact:
            return "certain: the fit is exact, no better one exists"
        if self.agreeing >= 2:
            return f"confirmed: {self.agreeing} of {self.runs} independent starts found these components"
        if self.runs == 1:
            return "not checked: one start only; more restarts would tell"
        return f"unsure: no two of {self.runs} independent starts agree; try more restarts or another rank"


@dataclass(frozen=True, slots=True)
class Degeneracy:
    """Signs of components that grow against each other without limit.

    Arguments:
        largest_weight: largest component norm by the norm of the model; near 1 or below is healthy.
        smallest_cosine: smallest cosine between two whole components (product over modes); below -0.95 is suspect.

    Reference:
        Krijnen, Dijkstra and Stegeman 2008, "On the non-existence of optimal solutions and the occurrence of
        degeneracy in the CANDECOMP/PARAFAC model".
    """

    largest_weight: float
    smallest_cosine: float

    @property
    def suspected(self) -> bool:
        """Whether two components nearly cancel."""
        return self.smallest_cosine < -0.95

    @property
    def warning(self) -> str | None:
        """A sentence if components nearly cancel, otherwise None."""
        if not self.suspected:
            return None
        return (
            f"warning: two components nearly cancel (cosine {self.smallest_cosine:.3f}, largest weight "
            f"{self.largest_weight:.3g} times the model); there may be no best fit at this rank: "
            "try a lower rank or nonnegative factors."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition(Printed):
    """A tensor in a format, and how well it fits; ``print`` and notebooks show it as tables.

    Arguments:
        tensor: the model, a :class:`~rankfold.Tucker`, :class:`~rankfold.TT` or :class:`~rankfold.CP`.
        relative_error: ``||x - model|| / ||x||`` over the observed entries.
        method: what found it.
        trace: time and error on the way.
    """

    tensor: Any
    relative_error: float
    method: str
    trace: tuple[TracePoint, ...] = field(default=(), repr=False)

    def _view(self) -> "View":
        from rankfold.decompose._views import decomposition_view

        return decomposition_view(self)


@dataclass(frozen=True, slots=True, eq=False)
class CPDecomposition(Decomposition):
    """The components of a tensor, and how sure they are; ``print`` and notebooks show them as tables.

    Arguments:
        tensor: the model, a :class:`~rankfold.CP` in canonical form: unit columns, largest weight first.
        relative_error: ``||x - model|| / ||x||`` over the observed entries.
        method: what found it.
        trace: time and error on the way.
        agreement: whether independent runs found the same.
        degeneracy: whether components cancel each other.
        core_consistency: core consistency in per cent (100 is perfect), None where it was not computed.
        rank_path: the ranks that were tried where the rank was to be found, otherwise empty.
    """

    tensor: CP
    agreement: Agreement = Agreement(1, 1, False)
    degeneracy: Degeneracy = Degeneracy(1.0, 1.0)
    core_consistency: float | None = None
    rank_path: tuple[RankStep, ...] = field(default=(), repr=False)

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.tensor.rank

    def _view(self) -> "View":
        from rankfold.decompose._views import components_view

        return components_view(self)

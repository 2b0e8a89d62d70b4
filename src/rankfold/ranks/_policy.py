"""The protocol of rank policies, and the rules among them that need no more than a shape."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol, runtime_checkable

from rankfold._errors import OptionError
from rankfold.formats import feasible_ranks, full_ranks
from rankfold.ranks._form import Choice
from rankfold.ranks._weight_view import WeightView

__all__ = ["RankPolicy", "ShapeRule", "as_policy", "as_rule", "lowered"]


@runtime_checkable
class RankPolicy(Protocol):
    """A rule that gives ranks to the weights of a model.

    It sees all of them at once: their shapes, spectra, and the layers that use them. A rule that needs no more
    than a shape derives from :class:`ShapeRule`, or is any function of ``(shape, modes)``.
    """

    def choose(self, weights: Sequence[WeightView]) -> Sequence[Choice | str]:
        """For each weight along which modes to factorise it, and the ranks; or the reason to keep it dense."""
        ...


class ShapeRule(ABC):
    """A rank policy that treats every weight alike and looks only at its shape."""

    @abstractmethod
    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """One rank per mode of ``modes`` for a weight of ``shape``."""

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks along the usual modes of each weight."""
        return [Choice(weight.modes[0], tuple(self(weight.shape, weight.modes[0]))) for weight in weights]


@dataclass(frozen=True, slots=True)
class _FunctionRule(ShapeRule):
    function: Callable[[Sequence[int], Sequence[int]], tuple[int, ...]]

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        given = self.function(shape, modes)
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise OptionError(
                f"rank policy: the function gave {given!r} for the shape {tuple(shape)}; return one rank for each "
                f"of the modes {tuple(modes)}."
            )
        return tuple(given)


def as_policy(rank: RankPolicy | Callable[..., tuple[int, ...]] | int | float) -> RankPolicy:
    """Read a number as a policy: a whole number is :class:`Fixed`, a fraction is :class:`Fraction`.

    Arguments:
        rank: a policy, a function of ``(shape, modes)``, an int of at least 1, or a float in (0, 1].

    Returns:
        The policy.

    Raises:
        OptionError: neither a policy nor a number in range.

    Example:
        >>> as_policy(8), as_policy(0.5)
        (Fixed(rank=8), Fraction(share=0.5))
    """
    from rankfold.ranks._fixed import Fixed
    from rankfold.ranks._fraction import Fraction

    if isinstance(rank, Integral):
        return Fixed(int(rank) if not isinstance(rank, bool) else rank)
    if isinstance(rank, Real):
        return Fraction(float(rank))
    if not isinstance(rank, type):
        if isinstance(rank, RankPolicy):
            return rank
        if callable(rank):
            return _FunctionRule(rank)
    if isinstance(rank, str):
        raise OptionError(
            f"rank: got the text {rank!r}; pass the policy that rankfold.parse_policy makes of it."
        )
    raise OptionError(
        f"rank: got {rank!r}; pass a policy such as Fraction(0.5), a whole number of at least 1, or a float in (0, 1]."
    )


def as_rule(where: str, rank: RankPolicy | Callable[..., tuple[int, ...]] | int | float) -> ShapeRule:
    """As :func:`as_policy`, for places where only a shape is known.

    Arguments:
        where: what the rank is for, for the message.
        rank: as of :func:`as_policy`.

    Raises:
        OptionError: a policy that needs to see weights.
    """
    policy = as_policy(rank)
    if isinstance(policy, ShapeRule):
        return policy
    raise OptionError(
        f"{where}: {type(policy).__name__} needs to see the weights of a trained model; pass it to rankfold.factorize "
        "or rankfold.compress, and here a rule on shapes, such as Fixed or Fraction."
    )


def lowered(ranks: Sequence[int], shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
    """Ranks no larger than the shape allows, alone and against each other."""
    core = list(shape)
    for mode, rank, full in zip(modes, ranks, full_ranks(shape, modes), strict=True):
        core[mode] = min(rank, full)
    return feasible_ranks(core, modes)

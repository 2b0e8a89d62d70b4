"""The ranks at which a network has a given size, as even as can be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from torch import nn

from rankfold._errors import OptionError
from rankfold.convert._attention import on_split_attention
from rankfold.convert._bonds import groups_with_bonds, share_of_bonds
from rankfold.convert._candidates import convertible
from rankfold.convert._format_options import Modes, checked_cores, checked_modes
from rankfold.convert._rules import FORMATS
from rankfold.convert._select import Selector
from rankfold.convert._truncation import PlainTruncation
from rankfold.convert._weight_views import Group, choose_ranks
from rankfold.formats import core_shapes, full_bonds, plan_modes
from rankfold.layers import require_module
from rankfold.ranks import Fraction, Shares, check_amount

__all__ = ["fit_rank"]

# Halvings of an interval of shares. Ranks change at shares (k + 1/2) / n, and those of different sizes n below 2^19 are
# further apart than 2^-40.
_HALVINGS = 40
# Of the size asked for, what may be missing (Khodak et al. find the share by bisection to a tolerance, too).
_NEAR = 0.005


def fit_rank(
    model: nn.Module,
    parameters: int | float,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    modes: Modes = None,
    format: str = "tucker",
    cores: int | None = None,
) -> Shares:
    """The ranks at which a network trains at most so many parameters and at least 99.5 % of them, as even as can be.

    All weights get the largest share of their full rank that fits. Layers of equal sizes change their ranks at the same
    share, all at once; if that leaves more than 0.5 % of what was asked for, weights go up by single ranks, in the
    order of the model, until it is less. Where one rank of one layer is more than that, as in networks of few small
    layers, the size reached is the nearest below to which these steps lead.

    :class:`rankfold.Budget` spends parameters where that lowers the error of a trained network most, and counts those
    of the folded network. This spends them evenly, for networks about to be trained, and counts what is trained, all
    cores and factors.

    Arguments:
        model: any module; it is not changed.
        parameters: of the whole model: a float in (0, 1] is a share of the dense model, a whole number a count. What
            modules share counts once, and what is not factorised counts too.
        include, exclude, modes, format, cores: as of :func:`rankfold.factorize`, which must be given the same.

    Returns:
        The policy for :func:`rankfold.factorize`.

    Raises:
        OptionError: an amount out of range, one below that of rank 1 in every layer, or no layer to factorise.
        SelectorError: a selector that matches no layer.

    Reference:
        Khodak, Tenenholtz, Mackey, Fusi 2021, "Initialization and regularization of factorized neural layers", whose
        experiments find the share for a size by bisection.

    Example:
        >>> import rankfold as rf
        >>> model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        >>> policy = rf.fit_rank(model, 0.1)
        >>> _ = rf.factorize(model, policy)
        >>> round(sum(p.numel() for p in model.parameters()) / 266610, 3)
        0.1
    """
    require_module(model, "fit_rank")
    check_amount("fit_rank", "parameters", parameters)
    form = checked_cores("fit_rank", format, modes, cores), checked_modes("fit_rank", modes)
    sizes = _sizes(model, include, exclude, format, *form)
    dense = sum(parameter.numel() for parameter in model.parameters())
    rest = dense - sum(size.dense for size in sizes)

    def total(share: float) -> int:
        return rest + sum(size.at(share) for size in sizes)

    wanted = parameters if isinstance(parameters, int) else parameters * dense
    least = 2.0**-_HALVINGS
    if total(least) > wanted:
        raise OptionError(
            f"fit_rank: got {parameters} parameters for a model of {dense:,}, which has {total(least):,} at rank 1 in "
            "every layer that is factorised; pass that or more, or factorise further layers."
        )
    share = _largest(lambda share: total(share) <= wanted, least)
    return Shares(share, _raised(sizes, share, wanted - total(share), _NEAR * wanted))


@dataclass(frozen=True, slots=True)
class _Size:
    """What a weight costs.

    Arguments:
        name: of the first layer that has it.
        dense: parameters of the dense weight.
        at: those at a share of the full rank.
    """

    name: str
    dense: int
    at: Callable[[float], int]


@on_split_attention
def _sizes(
    model: nn.Module,
    include: Selector | Sequence[Selector] | None,
    exclude: Selector | Sequence[Selector] | None,
    format: str,
    cores: int | None,
    modes: tuple[int, ...] | str | None,
) -> list[_Size]:
    candidates = convertible(model, include, exclude, FORMATS[format].rules)
    if cores is not None:
        sizes = [_of_tt_matrix(group, cores) for group in groups_with_bonds(candidates, cores)]
    else:
        chosen = choose_ranks(model, candidates, Fraction(1.0), modes, PlainTruncation())
        sizes = [_of_tucker(group, choice.modes) for group, choice in chosen]
    if not sizes:
        raise OptionError(
            "fit_rank: the model has no layer that can be factorised, so no rank changes its size; pass one that has."
        )
    return sizes


def _of_tucker(group: Group, modes: tuple[int, ...]) -> _Size:
    name, shape = _weight(group)

    def at(share: float) -> int:
        ranks = dict(zip(modes, Fraction(share)(shape, modes), strict=True))
        core = prod(ranks.get(mode, size) for mode, size in enumerate(shape))
        return core + sum(shape[mode] * rank for mode, rank in ranks.items())

    return _Size(name, prod(shape), at)


def _of_tt_matrix(group: Group, cores: int) -> _Size:
    name, shape = _weight(group)
    sizes = plan_modes(shape[0], cores), plan_modes(shape[1], cores)
    full = full_bonds(*sizes)
    return _Size(
        name,
        prod(shape),
        lambda share: sum(map(prod, core_shapes(*sizes, share_of_bonds(share, full)))),
    )


def _weight(group: Group) -> tuple[str, tuple[int, ...]]:
    weight = group[0].weight
    assert weight is not None
    return group[0].names[0], tuple(weight.shape)


def _raised(sizes: Sequence[_Size], share: float, left: float, near: float) -> dict[str, float]:
    """Larger shares of some weights, one rank after the other, until little is left or nothing fits."""
    shares = dict.fromkeys((size.name for size in sizes), share)
    before = None
    while left > near and left != before:
        before = left
        for size in sizes:
            now = size.at(shares[size.name])
            higher = _smallest(lambda share, size=size, now=now: size.at(share) > now, shares[size.name])
            if higher is not None and size.at(higher) - now <= left and left > near:
                left -= size.at(higher) - now
                shares[size.name] = higher
    return {name: raised for name, raised in shares.items() if raised != share}


def _largest(fits: Callable[[float], bool], low: float) -> float:
    """The largest share up to 1 that fits, as ``low`` does."""
    high = 1.0
    if fits(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _smallest(is_more: Callable[[float], bool], low: float) -> float | None:
    """The smallest share up to 1 that is more, or None."""
    high = 1.0
    if not is_more(high):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_more(middle) else (middle, high)
    return high

"""Draw the weights of a model that are in a format anew."""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from rankfold._checks import check_generator, check_positive
from rankfold._errors import OptionError, ShapeError
from rankfold.init._balance import balanced
from rankfold.init._draw import own_std, scaled_to
from rankfold.init._initializers import INITIALIZERS
from rankfold.layers import format_sites, require_module

__all__ = ["InitializedWeight", "initialize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitializedWeight:
    """One weight that was drawn.

    Arguments:
        name: of the layer.
        ranks: of its format.
        std: root of the mean square of the dense entries it stands for.
    """

    name: str
    ranks: tuple[int, ...]
    std: float


@torch.no_grad()
def initialize(
    model: nn.Module,
    initializer: str = "spectral",
    *,
    std: float | None = None,
    balance: bool = False,
    rescale: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[InitializedWeight, ...]:
    """Draw every weight that is in a format anew, at the ranks it has, in place.

    A network that is factorised before training starts from what :func:`rankfold.factorize` makes of its random
    weights, which is the spectral start. This function is for other starts, other seeds and other formats. Biases, and
    weights that are in no format, stay as they are; with a generator of the same seed the result is the same.

    Arguments:
        model: a module with weights in a format.
        initializer: a name in :data:`INITIALIZERS`: ``'spectral'``, ``'orthonormal'`` or ``'normal'``.
        std: deviation of the dense entries, over 0; None takes that of the plain layer.
        balance: share the norm evenly among the tensors (:func:`balanced`) instead of leaving it in the core, for
            optimisers that train factors as they are; TDLRT brings weights to its own form.
        rescale: scale each value to exactly ``std``. A spectral start keeps only the part of the dense weight's norm
            that its ranks hold, and without batch norm the signal fades at low rank.
        generator: source of the random numbers; None is torch's global one.

    Returns:
        One row per weight.

    Raises:
        OptionError: an unknown initialiser, a deviation out of range, no weight in a format, or layers that share a
            core.
        ShapeError: a weight whose tensors are computed by a parametrisation, such as gates.
        RankError: with ``'spectral'``, ranks beyond what the shape allows, as in the middle of a TDLRT cycle.

    Example:
        >>> import torch, rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        >>> _ = rf.factorize(model, 5)
        >>> rows = initialize(model, "orthonormal", generator=torch.Generator().manual_seed(0))
        >>> [(row.name, row.ranks, round(row.std, 4)) for row in rows]
        [('0', (5, 5), 0.0333), ('2', (5, 5), 0.0577)]
    """
    require_module(model, "initialize")
    build = INITIALIZERS[initializer].build
    check_positive("initialize", "std", std, none=True)
    check_generator("initialize", generator)
    sites = list(format_sites(model))
    if not sites:
        raise OptionError(
            "initialize: no weight of the model is in a format; call rankfold.factorize(model) first."
        )
    computed = [site.name for site in sites if site.computed]
    if computed:
        raise ShapeError(
            f"initialize: layer {computed[0]!r} is computed by a parametrisation, such as the gates of GatedRank; "
            "initialise before that."
        )
    owners: dict[int, str] = {}
    for site in sites:
        for parameter in site.parameters:
            other = owners.setdefault(id(parameter), site.name)
            if other != site.name:
                raise OptionError(
                    f"initialize: layers {other!r} and {site.name!r} share a core, which cannot be drawn for both; "
                    "initialise before rankfold.sharing.share_cores."
                )
    rows, drawn = [], []
    for site in sites:
        like, wanted = site.value, own_std(site.layer) if std is None else float(std)
        normal = (
            isinstance(site.layer, nn.Embedding) or getattr(site.layer, "dense_class", None) is nn.Embedding
        )
        value = build(like, wanted, generator, normal)
        size = prod(like.shape) ** 0.5
        if rescale:
            value = scaled_to(value, wanted * size)
        if balance:
            value = balanced(value)
        drawn.append(value)
        rows.append(InitializedWeight(name=site.name, ranks=value.ranks, std=float(value.norm()) / size))
    for site, value in zip(sites, drawn, strict=True):
        site.assign(value)
    return tuple(rows)

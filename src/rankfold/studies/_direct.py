"""Layers of a network written as plain ``nn`` layers in factored form, for ordinary optimisers.

These are the baselines that the papers train beside their methods.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, OptionError
from rankfold.convert import Candidate, Conversion, ConvertedLayer, convertible
from rankfold.convert._replace import replace_module
from rankfold.convert._select import Selector
from rankfold.studies._direct_forms import DIRECT_FORMS, Dense, DirectForm, random_start, scaled

__all__ = ["DIRECT_FORMS", "DirectForm", "Weights", "replace_directly"]

Weights = Literal["keep", "rescale", "random"]


@torch.no_grad()
def replace_directly(
    network: nn.Module,
    form: str,
    rank: int | None = None,
    *,
    share: float | None = None,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    weights: Weights = "keep",
    generator: torch.Generator | None = None,
) -> Conversion:
    """Replace the linear layers and 2d convolutions of a network by chains of plain layers, in place.

    What lies between the layers stays as it is; a layer's bias becomes that of the last in its chain. Other layers,
    grouped convolutions, and layers that share their weight are left alone and listed with the reason. Nothing is
    changed if an error is raised.

    Arguments:
        network: its layers are replaced.
        form: a name in ``DIRECT_FORMS``.
        rank: of every layer, lowered where a layer has no such rank.
        share: instead, the share of the parameters of its weight that a layer may have, in (0, 1]: every layer gets
            the largest rank that fits, at least 1.
        include, exclude: as of :func:`rankfold.factorize`; for ranks layer by layer call this once for each.
        weights: ``'keep'`` starts from the dense weight truncated (for CP of convolutions by alternating least
            squares, which takes seconds for some hundred channels), ``'rescale'`` from that scaled to the norm it had,
            for networks about to be trained from scratch, ``'random'`` from random factors of that norm.
        generator: for random weights and for the start of least squares; None seeds one with 0.

    Returns:
        One row per layer with its rank, and its parameters before and after.

    Raises:
        OptionError: an unknown form or choice of weights, not exactly one of rank and share, or one out of range.
        SelectorError: a selector that matches no layer.
        NonFiniteError: a weight holds NaN or infinity.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
        >>> conversion = replace_directly(network, "tucker", 4, include="0")
        >>> [layer.kernel_size for layer in network[0]], conversion.converted[0].parameters_after
        ([(1, 1), (3, 3), (1, 1)], 240)
    """
    chosen = DIRECT_FORMS[form]
    _check(rank, share, weights)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    rows, chains = [], []
    for candidate in convertible(network, include, exclude):
        dense, weight = candidate.module, candidate.weight
        reason = candidate.reason or _reason(network, candidate)
        if reason is None and weight is not None and isinstance(dense, Dense):
            if not bool(weight.isfinite().all()):
                raise NonFiniteError(
                    f"replace_directly: layer {candidate.names[0]!r} holds NaN or infinity; its weight must be finite."
                )
            own = _rank(chosen, tuple(weight.shape), rank, share)
            chain = chosen.chain(dense, _start(chosen, weight, own, weights, generator))
            chains.append((candidate, chain.train(dense.training)))
            rows.append(_row(candidate, own, chosen.parameters(tuple(weight.shape), own)))
        else:
            rows.append(_row(candidate, reason=reason))
    for candidate, chain in chains:
        replace_module(network, candidate.names, candidate.module, chain)
    return Conversion(tuple(rows))


def _check(rank: int | None, share: float | None, weights: str) -> None:
    if (rank is None) == (share is None):
        raise OptionError(f"replace_directly: got rank={rank} and share={share}; pass exactly one of them.")
    if rank is not None and rank < 1:
        raise OptionError(f"replace_directly: got rank={rank}; pass at least 1.")
    if share is not None and not 0 < share <= 1:
        raise OptionError(f"replace_directly: got share={share}; pass a number in (0, 1].")
    if weights not in ("keep", "rescale", "random"):
        raise OptionError(f"replace_directly: got weights={weights!r}; choose 'keep', 'rescale' or 'random'.")


def _reason(network: nn.Module, candidate: Candidate) -> str | None:
    """Why a layer that :func:`rankfold.factorize` can convert is left alone here, or None."""
    module = candidate.module
    if not isinstance(module, Dense):
        return "neither a linear layer nor a 2d convolution"
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        return "its channels are grouped"
    owners = [
        weight for _, weight in network.named_parameters(remove_duplicate=False) if weight is module.weight
    ]
    return "it shares its weight" if len(owners) > len(candidate.names) else None


def _rank(form: DirectForm, shape: Sequence[int], rank: int | None, share: float | None) -> int:
    largest = form.largest_rank(shape)
    if rank is not None:
        return min(rank, largest)
    assert share is not None
    fits, too_large = 1, largest + 1
    while too_large - fits > 1:  # the number of parameters never falls as the rank grows
        middle = (fits + too_large) // 2
        if form.parameters(shape, middle) <= share * prod(shape):
            fits = middle
        else:
            too_large = middle
    return fits


def _start(form: DirectForm, weight: Tensor, rank: int, weights: Weights, generator: torch.Generator) -> Any:
    if weights == "random":
        return random_start(form, weight, rank, generator)
    value = form.approximate(weight, rank, generator)
    if weights == "keep":
        return value
    length = value.norm()
    return scaled(value, torch.linalg.vector_norm(weight.double()) / torch.where(length > 0, length, 1.0))


def _row(
    candidate: Candidate, rank: int | None = None, after: int | None = None, *, reason: str | None = None
) -> ConvertedLayer:
    weight = candidate.weight
    before = 0 if weight is None else weight.numel()
    return ConvertedLayer(
        name=candidate.names[0],
        kind=type(candidate.module).__name__,
        shape=() if weight is None else tuple(weight.shape),
        ranks=None if rank is None else (rank,),
        parameters_before=before,
        parameters_after=before if after is None else after,
        reason=reason,
    )

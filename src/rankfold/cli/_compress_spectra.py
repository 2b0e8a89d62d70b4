"""The spectra of the weights that were compressed, short enough for a record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rankfold.cli._measure_layers import layers_of
from rankfold.compression import CompressedLayer
from rankfold.convert._attention import split_attention
from rankfold.convert._rules import rule_for
from rankfold.linalg import left_singular, unfold

__all__ = ["spectra_of_layers", "thinned_places"]

# Choices of this library. An unfolding whose smaller side is longer has no spectrum in the record: 1024 take less than
# a second on one core, 4096 some twenty.
_LARGEST = 1024
_KEPT = 32  # places spread evenly, and as many at equal ratios, for spectra fall fastest at first
_DIGITS = 4  # more than a chart has pixels


def spectra_of_layers(
    dense: nn.Module, rows: Sequence[CompressedLayer], advance: Callable[[int, int], object]
) -> list[dict[str, Any] | None]:
    """Singular values of dense weights along their channel modes and those that were factorised.

    Arguments:
        dense: the network as it was.
        rows: its layers and the ranks they have got.
        advance: called before each layer with the number of layers done and that of all.

    Returns:
        For each row plain values: ``places``, counted from 1, and ``modes``, each with its ``mode``, its ``size`` (how
        many singular values there are) and the ``values`` at those places that it has. None of a layer that is not
        there, or of which every unfolding is too large or has one value only.
    """
    with split_attention(dense):
        layers = layers_of(dense)
        return [_spectra(row, layers, number, len(rows), advance) for number, row in enumerate(rows)]


def _spectra(
    row: CompressedLayer,
    layers: Mapping[str, nn.Module],
    number: int,
    count: int,
    advance: Callable[[int, int], object],
) -> dict[str, Any] | None:
    advance(number, count)
    layer = layers.get(row.name)
    rule = None if layer is None else rule_for(layer)
    weight = getattr(layer, "weight", None)
    if rule is None or not isinstance(weight, Tensor) or not bool(weight.isfinite().all()):
        return None
    modes = sorted({*rule.layer.channel_modes, *row.modes})
    cuts = dict(zip(row.modes, row.ranks, strict=True))
    if weight.ndim == 2:  # the two spectra of a matrix are one
        modes, cuts = modes[:1], {modes[0]: min(row.ranks)} if row.ranks else {}
    values = {mode: _values(weight.detach(), mode) for mode in modes}
    known = {mode: found for mode, found in values.items() if found is not None and len(found) > 1}
    if not known:
        return None
    places = sorted(
        {at for mode, found in known.items() for at in thinned_places(len(found), cuts.get(mode))}
    )
    return {
        "places": places,
        "modes": [
            {
                "mode": mode,
                "size": len(found),
                "values": [float(f"{found[at - 1]:.{_DIGITS}g}") for at in places if at <= len(found)],
            }
            for mode, found in known.items()
        ],
    }


def _values(weight: Tensor, mode: int) -> list[float] | None:
    matrix = unfold(weight, mode)
    if min(matrix.shape) > _LARGEST:
        return None
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    return left_singular(short, "gram")[1].tolist()


def thinned_places(count: int, cut: int | None) -> list[int]:
    """Which singular values are kept: of more than 64 some spread evenly, some at equal ratios, and those at the cut.

    Arguments:
        count: how many there are, at least 1.
        cut: the last one that the network keeps, or None.

    Returns:
        Places from 1 in rising order, 66 at most.

    Example:
        >>> thinned_places(5, 2)
        [1, 2, 3, 4, 5]
        >>> len(thinned_places(1024, 100)) <= 66
        True
    """
    if count <= 2 * _KEPT:
        return list(range(1, count + 1))
    shares = [place / (_KEPT - 1) for place in range(_KEPT)]
    kept = {1 + round(share * (count - 1)) for share in shares} | {round(count**share) for share in shares}
    if cut is not None:
        kept |= {place for place in (cut, cut + 1) if 1 <= place <= count}
    return sorted(kept)

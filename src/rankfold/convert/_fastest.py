"""Of the plain forms of a factorised layer the fastest, by measurement."""

from collections.abc import Sequence

from torch import nn

from rankfold.convert import _timing
from rankfold.layers import FormatLayer
from rankfold.ranks import Call

__all__ = ["FastestForm"]

# Choice of this library: a chain must save at least this share, or the simpler dense layer stays.
_GAIN = 0.98


class FastestForm:
    """Chooses the forms of the layers of one model; layers that are alike are measured once."""

    def __init__(self) -> None:
        self._known: list[tuple[str, tuple[Call, ...], int]] = []

    def __call__(self, layer: FormatLayer, calls: tuple[Call, ...]) -> nn.Module:
        """The dense layer, unless a chain is measurably faster.

        Arguments:
            layer: the factorised layer.
            calls: how the model calls it, at least one.
        """
        forms = layer.fold_candidates()
        if any(call.arguments or call.options for call in calls):
            return forms[0]  # a chain takes one input and nothing else
        chains = [index for index, form in enumerate(forms) if isinstance(form, nn.Sequential)]
        if not chains:
            return forms[0]
        modes = getattr(layer, "modes", None)
        alike = f"{layer.leading.dtype} {modes} {layer!r}"
        for description, known_calls, index in self._known:
            if (description, known_calls) == (alike, calls):
                return forms[index]
        index = _fastest(forms, chains, calls)
        self._known.append((alike, calls, index))
        return forms[index]


def _fastest(forms: Sequence[nn.Module], chains: Sequence[int], calls: Sequence[Call]) -> int:
    timings = _timing.time_layers([forms[0], *(forms[index] for index in chains)], calls)
    # In all rounds but one: a single round that was disturbed neither makes nor breaks a gain.
    faster = {
        side: timings.ratio(side) for side in range(1, len(chains) + 1) if timings.ratios(side)[-2] <= _GAIN
    }
    return chains[min(faster, key=lambda side: faster[side]) - 1] if faster else 0

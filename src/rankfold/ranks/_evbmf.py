"""Ranks by variational Bayes: what stands out of the noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from rankfold._errors import OptionError
from rankfold.ranks._form import Choice, Form
from rankfold.ranks._policy import lowered
from rankfold.ranks._variational import noise_variance, signal_rank
from rankfold.ranks._weight_view import WeightView

__all__ = ["EVBMF"]


@dataclass(frozen=True, slots=True)
class EVBMF:
    """The ranks at which the unfoldings of each weight stand out of its noise, with no number to choose.

    Each unfolding is taken for a matrix of low rank plus normal noise of one unknown variance in all entries.
    The variance is that with the least free energy, and the rank the number of components that empirical
    variational Bayes keeps at it, both by the analytic solution. It can find ranks below L / (1 + L / M) in an
    L x M unfolding, half the full rank of a square one.

    A mode without a component above the noise gets rank 1. Where no mode has one, the weight stays dense: noise
    to this model may be what a network works with. So does a weight for which the ranks save no parameters.
    Calibration data weight the entries of a weight, and so its noise, which this model does not allow.

    Raises:
        OptionError: in ``choose``, weights with calibration data.

    Reference:
        Nakajima, Sugiyama, Babacan, Tomioka 2013, "Global analytic solution of fully-observed variational Bayesian
        matrix factorization", JMLR 14, theorems 2 and 3; for the ranks of convolutions Kim et al. 2016.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold import factorize
        >>> model = nn.Sequential(nn.Linear(60, 40))
        >>> generator = torch.Generator().manual_seed(0)
        >>> u, v, noise = (torch.randn(s, generator=generator) for s in ((40, 3), (3, 60), (40, 60)))
        >>> model[0].weight.data = u @ v + 0.1 * noise
        >>> [row.ranks for row in factorize(model, EVBMF())]
        [(3, 3)]
    """

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense."""
        for weight in weights:
            if weight.calibrated:
                raise OptionError(
                    "EVBMF: its noise is equal in all entries of a weight, which calibration data change; "
                    "leave the data out, or choose by Energy, Tolerance or Budget."
                )
        return [_choose(weight) for weight in weights]


def _choose(weight: WeightView) -> Choice | str:
    usual = weight.form(weight.modes[0])
    found = [_rank(usual, axis, weight.rounding) for axis in range(len(usual.modes))]
    if usual.total > 0 and not any(found):
        return "kept dense: no component of it stands out of its noise (rank 0)"
    ranks = lowered([max(rank, 1) for rank in found], usual.shape, usual.modes)
    by_mode = dict(zip(usual.modes, ranks, strict=True))
    full = {
        mode for mode, size in zip(usual.modes, usual.energies.shape, strict=True) if by_mode[mode] == size
    }
    # A factor of full rank changes nothing, so a way without it is the same and simpler.
    modes = min((way for way in weight.modes if set(usual.modes) - set(way) <= full), key=len)
    choice = Choice(modes, tuple(by_mode[mode] for mode in modes))
    if weight.form(modes).parameters(choice.ranks) >= weight.weight.numel():
        return "kept dense: at the ranks of EVBMF low rank saves no parameters"
    return choice


def _rank(form: Form, axis: int, rounding: float) -> int:
    spectrum, total = form.spectra[axis].cpu(), form.total
    if total == 0:
        return 0
    # Shares of the total, so that nothing depends on the scale; what is rounding is neither signal nor noise.
    spectrum = (spectrum / total).where(spectrum > rounding * total, 0.0).sort(descending=True).values
    size = form.shape[form.modes[axis]]
    numel = prod(form.shape)
    longer = max(size, numel // size)
    return signal_rank(spectrum, longer, noise_variance(spectrum, longer, least=rounding / numel))

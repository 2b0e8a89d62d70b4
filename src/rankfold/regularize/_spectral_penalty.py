"""A price on unequal singular values of the cores."""

import torch
from torch import Tensor, nn

from rankfold._checks import check_strength
from rankfold._errors import OptionError
from rankfold.layers import FactorizedLayer, format_sites, require_module
from rankfold.linalg import mode_inner, spectrum_dtype

__all__ = ["SpectralPenalty"]


class SpectralPenalty:
    """``strength Σ ||S Sᵀ - α² I||`` over the cores S of Tucker layers, with ``α² = ||S||² / r``.

    It draws the r singular values of every core towards each other and leaves their mean square to the loss, so that
    the condition number of the weight, and with it what a small change of the input can do, stays small:
    ``κ(S) <= exp(R / (√2 σ_r²))`` for the norm R. Of a core of higher order S is the unfolding along its first
    factorised mode. It works against a truncation by tolerance, which wants small singular values.

    A core has the singular values of the weight while the factors are orthonormal, as TDLRT keeps them.

    Arguments:
        model: a module with Tucker layers; those that are there now are meant, also when their ranks change.
        strength: 0 or more; the paper takes 0.05 to 0.2.

    Raises:
        OptionError: a strength out of range, or no Tucker layer.

    Reference:
        Schotthöfer et al. 2025, "Dynamical low-rank compression of neural networks with robustness under adversarial
        attacks", section 4 and propositions 1 and 2.

    Example:
        >>> import torch
        >>> from rankfold import Tucker
        >>> from rankfold.layers import Linear
        >>> model = Linear(3, 3, rank=2)
        >>> model.assign(Tucker(torch.diag(torch.tensor([3.0, 1.0])), (torch.eye(3)[:, :2], torch.eye(3)[:, :2])))
        >>> round(float(SpectralPenalty(model, 1.0).penalty().detach()), 4)  # singular values squared 9 and 1, mean 5
        5.6569
    """

    def __init__(self, model: nn.Module, strength: float = 0.1) -> None:
        require_module(model, "SpectralPenalty")
        check_strength("SpectralPenalty", strength)
        self.strength = strength
        self._layers = [site.layer for site in format_sites(model) if isinstance(site.layer, FactorizedLayer)]
        if not self._layers:
            raise OptionError(
                "SpectralPenalty: the model has no Tucker layer, and only those have a core whose singular values are "
                "those of the weight; call rankfold.factorize(model) first."
            )

    def penalty(self) -> Tensor:
        """The penalty, to be added to a loss; a differentiable scalar."""
        parts = [_defect(layer.core, layer.modes[0]) for layer in self._layers]
        return self.strength * torch.stack([part.to(parts[0]) for part in parts]).sum()


def _defect(core: Tensor, mode: int) -> Tensor:
    """``||S Sᵀ - α² I||`` of an unfolding, or of its transpose where that has fewer rows."""
    work = core.to(spectrum_dtype(core))
    if core.ndim == 2 and core.shape[mode] > core.shape[1 - mode]:
        mode = 1 - mode
    gram = mode_inner(work, work, mode)
    excess = gram - torch.diag_embed(gram.diagonal().mean().expand(len(gram)))
    return torch.linalg.vector_norm(excess).to(core.dtype)

"""Tucker models of tensors with gaps, shrunk in the gaps as far as held-out entries ask for it.

What the observed entries leave open, a fit of them alone fills with anything. So the model is drawn to zero in the
gaps by a weight between 1 (gaps are zeros) and 0 (gaps count nothing), which held-out entries choose.
"""

import torch
from torch import Tensor

from rankfold.decompose._hooi import squared_norm
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._tucker_bases import leading_basis, st_hosvd
from rankfold.decompose._tucker_tangent import Tangent
from rankfold.decompose._weighted_tucker import weighted_tucker

__all__ = ["masked_tucker"]

# Choices of this library: the weights of the gaps that are tried one after another, the share of observed entries held
# out for it, how far their squared error must fall for a smaller weight to be preferred (for none at all it must
# halve, as it does where the data have these ranks exactly), how many weights in a row may miss the best error by how
# much before smaller ones are given up, and the shares of the squared error below which a fit has stalled on the way
# and in the end; stopping early shrinks too, so that the end is not much stricter than what was tested.
_SHRINKAGES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 0.0)
_HELD_OUT = 0.1
_BETTER = 0.97
_MUCH_BETTER = 0.5
_WORSE = 1.02
_PATIENCE = 3
_STALLED = 3e-3
_STALLED_AT_LAST = 1e-3


def masked_tucker(
    tensor: Tensor,
    observed: Tensor,
    ranks: tuple[int, ...],
    generator: torch.Generator,
    recorder: Recorder,
    max_iterations: int,
) -> tuple[Tensor, list[Tensor], float]:
    """Core, bases and relative error over the observed entries.

    Arguments:
        tensor: zero where nothing is observed.
        observed: True where there is something.
        ranks: no one above the product of the others.
        generator: draws the entries that are held out while the weight of the gaps is chosen.
        recorder: takes one point per Gauss-Newton step, with the error over all observed entries.
        max_iterations: largest number of steps at each weight.
    """
    total = squared_norm(tensor)

    def error(residual: Tensor) -> float:
        return (squared_norm(torch.where(observed, residual, 0.0)) / total) ** 0.5

    # A stream of its own: the caller's mask may have been drawn from the same seed.
    own = torch.Generator().manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    drawn = torch.rand(tensor.shape, generator=own).to(tensor.device) < _HELD_OUT
    held, seen = observed & drawn, observed & ~drawn
    known = torch.where(seen, tensor, 0.0)
    space = Tangent.at(*st_hosvd(known, ranks, range(tensor.ndim), leading_basis))
    best, chosen, found, worse = float("inf"), 1.0, space, 0
    for shrinkage in _SHRINKAGES:
        space, residual = weighted_tucker(
            known,
            torch.where(seen, 1.0, shrinkage).to(tensor.dtype),
            space,
            stalled=_STALLED,
            max_iterations=max_iterations,
            note=lambda residual: recorder.note(
                "shrinkage", error(torch.where(held, tensor, 0.0) + residual), max(ranks)
            ),
        )
        missed = squared_norm(torch.where(held, tensor + residual, 0.0))
        if missed <= (_BETTER if shrinkage else _MUCH_BETTER) * best:
            chosen, found = shrinkage, space
        best = min(best, missed)
        worse = worse + 1 if missed > _WORSE * best else 0
        if recorder.stopped or worse == _PATIENCE:
            break
    space, residual = weighted_tucker(
        tensor,
        torch.where(observed, 1.0, chosen).to(tensor.dtype),
        found,
        stalled=_STALLED_AT_LAST,
        max_iterations=0 if recorder.stopped else max_iterations,
        note=lambda residual: recorder.note("gauss-newton", error(residual), max(ranks)),
    )
    return space.core, list(space.bases), error(residual)

"""Training of a matrix product state two cores at a time, so that its bonds find their ranks.

Axes: N samples of the data, C classes (1 where the mode of the class is elsewhere), x and y what faces the merged
cores from the left and from the right, a and b bonds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold._checks import check_count, check_number, check_tensors
from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.formats import TT
from rankfold.layers import MPSClassifier
from rankfold.linalg import left_singular
from rankfold.training._autocast import full_precision

__all__ = ["SweepRecord", "fit_two_site"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One sweep to the last bond and back.

    Arguments:
        loss: after it, over all the data.
        ranks: the bonds after it.
    """

    loss: float
    ranks: tuple[int, ...]


@torch.inference_mode(False)  # cores made in inference mode could never be trained again
def fit_two_site(
    classifier: MPSClassifier,
    inputs: Tensor,
    targets: Tensor,
    *,
    sweeps: int = 2,
    tolerance: float = 1e-3,
    max_rank: int | None = None,
    iterations: int = 5,
    loss: Loss = F.cross_entropy,
) -> list[SweepRecord]:
    """Train a matrix product state as density matrix renormalisation does, in place: every bond finds its rank.

    From one end to the other and back, two neighbouring cores are merged, the outputs are linear in the merged tensor,
    a few steps of L-BFGS lower the loss over all the data, and a truncated singular value decomposition splits it
    again. The other cores are orthogonal meanwhile, so what a cut takes is a share of the norm of the whole weight.

    Arguments:
        classifier: trained in place; its parameters keep their identity.
        inputs: ``(N, samples)``, all the data, of the classifier's dtype.
        targets: N of them, as ``loss`` takes them.
        sweeps: there and back, 1 or more.
        tolerance: relative error that each cut may make in the weight, in [0, 1).
        max_rank: None, or the largest bond.
        iterations: of L-BFGS for each pair, 1 or more.
        loss: of outputs ``(N, classes)`` and targets; convex in the outputs, the problem of each pair is convex.

    Returns:
        One record per sweep.

    Raises:
        OptionError: a number out of range, or another model.
        ShapeError: inputs of another shape, or targets of another length.
        NonFiniteError: the loss is NaN or infinite; the classifier is as it was.

    Reference:
        Stoudenmire and Schwab 2016, "Supervised learning with tensor networks".

    Example:
        >>> import torch
        >>> from rankfold.layers import MPSClassifier
        >>> _ = torch.manual_seed(0)
        >>> x = torch.rand(200, 6, dtype=torch.float64)
        >>> y = (x[:, 0] * x[:, 5] > 0.25).long()
        >>> classifier = MPSClassifier(6, 2, rank=1, dtype=torch.float64)
        >>> records = fit_two_site(classifier, x, y, sweeps=2, max_rank=4)
        >>> bool((classifier(x).argmax(1) == y).double().mean() > 0.9), max(records[-1].ranks) <= 4
        (True, True)
    """
    _check(classifier, inputs, targets, sweeps, tolerance, max_rank, iterations)
    inputs = inputs.detach()
    features: list[Tensor | None] = [
        torch.stack([torch.ones_like(column), column], 1) for column in inputs.unbind(1)
    ]
    features.insert(classifier.label, None)
    value = TT(tuple(core.detach() for core in classifier.parts.values())).orthogonalize(0)
    cut, records = _Cut(tolerance, max_rank), []
    with full_precision(inputs.device.type):
        for _ in range(sweeps):
            value, reached = _sweep(value, features, targets, cut, iterations, loss)
            records.append(SweepRecord(reached, value.ranks))
    classifier.assign(value)
    return records


def _sweep(
    value: TT,
    features: Sequence[Tensor | None],
    targets: Tensor,
    cut: "_Cut",
    iterations: int,
    loss: Loss,
) -> tuple[TT, float]:
    """To the last bond and back; the first core is the only one that is not orthogonal, before and after."""
    cores, last = list(value.cores), len(value.cores) - 1
    known = next(feature for feature in features if feature is not None)
    one = known.new_ones(len(known), 1, 1)
    lefts, rights = (
        [one] * (last + 1),
        [one] * (last + 1),
    )  # of core k: all cores before it, all cores after it
    for k in reversed(range(1, last)):
        rights[k] = _from_right(rights[k + 1], cores[k + 1], features[k + 1])
    reached = float("nan")
    for k, returning in [*((k, False) for k in range(last)), *((k, True) for k in reversed(range(last)))]:
        pair = _Pair(lefts[k], rights[k + 1], features[k], features[k + 1])
        merged = pair.solved(torch.tensordot(cores[k], cores[k + 1], 1), targets, iterations, loss)
        cores[k], cores[k + 1] = cut(merged, returning)
        if returning:
            rights[k] = _from_right(rights[k + 1], cores[k + 1], features[k + 1])
            reached = float(loss(pair.outputs(torch.tensordot(cores[k], cores[k + 1], 1)), targets))
        else:
            lefts[k + 1] = _from_left(lefts[k], cores[k], features[k])
    return TT(tuple(cores)), reached


@dataclass(frozen=True, slots=True)
class _Cut:
    """Splits a merged tensor into two cores, within an error and a rank."""

    tolerance: float
    max_rank: int | None

    def __call__(self, merged: Tensor, returning: bool) -> tuple[Tensor, Tensor]:
        """Two cores; the first is left-orthogonal, or on the way back the second right-orthogonal."""
        matrix = merged.flatten(2).flatten(0, 1)
        turned = matrix.mT if returning else matrix
        vectors, values = left_singular(turned, "svd")
        tails = values.square().flip(-1).cumsum(-1).flip(-1)
        rank = max(int((tails > self.tolerance**2 * tails[:1]).sum()), 1)
        basis = vectors[:, : rank if self.max_rank is None else min(rank, self.max_rank)].to(merged.dtype)
        first, second = (matrix @ basis, basis.mT) if returning else (basis, basis.mT @ matrix)
        return first.unflatten(0, merged.shape[:2]), second.unflatten(1, merged.shape[2:])


@dataclass(frozen=True, slots=True)
class _Pair:
    """The outputs as a linear function of two merged cores ``(a, p, q, b)``, all others held."""

    left: Tensor  # NCa
    right: Tensor  # NCb
    first: Tensor | None
    second: Tensor | None

    def outputs(self, merged: Tensor) -> Tensor:
        """``(N, classes)``."""
        a, p, q, _ = merged.shape
        left_NCx, right_NCy = (
            _with(self.left, self.first, False),
            _with(self.right, self.second, True),
        )
        # The class is one of the merged modes, or came in from the left or from the right.
        middle = p if self.first is None else q if self.second is None else 1
        x = a if self.first is None else a * p
        work_NCmy = (left_NCx @ merged.reshape(x, -1)).unflatten(2, (middle, -1))
        return torch.einsum("ncmy,ndy->ncmd", work_NCmy, right_NCy).flatten(1)

    def solved(self, merged: Tensor, targets: Tensor, iterations: int, loss: Loss) -> Tensor:
        """Merged cores of lower loss; never of a higher one."""
        free = merged.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([free], max_iter=iterations, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            result = loss(self.outputs(free), targets)
            result.backward()
            return result

        with torch.enable_grad():
            first: Any = optimizer.step(closure)  # pyright: ignore[reportArgumentType]
        before = float(first.detach())
        with torch.no_grad():
            after = float(loss(self.outputs(free), targets))
        if not isfinite(before):
            raise NonFiniteError(
                f"fit_two_site: the loss is {before}; the classifier is as it was; scale the inputs to about 0..1."
            )
        return free.detach() if after <= before else merged


def _with(environment: Tensor, feature: Tensor | None, before: bool) -> Tensor:
    """An environment ``(N, C, r)`` times the feature of the next sample, which comes before or after the bond."""
    if feature is None:
        return environment
    if before:
        return (feature[:, None, :, None] * environment.unsqueeze(2)).flatten(2)
    return (environment.unsqueeze(3) * feature[:, None, None, :]).flatten(2)


def _from_left(left_NCa: Tensor, core: Tensor, feature: Tensor | None) -> Tensor:
    if feature is None:
        return (left_NCa.squeeze(1) @ core.flatten(1)).unflatten(1, core.shape[1:])
    return _with(left_NCa, feature, False) @ core.flatten(0, 1)


def _from_right(right_NCb: Tensor, core: Tensor, feature: Tensor | None) -> Tensor:
    if feature is None:
        return torch.einsum("acb,nb->nca", core, right_NCb.squeeze(1))
    return _with(right_NCb, feature, True) @ core.flatten(1).mT


def _check(
    classifier: MPSClassifier,
    inputs: Tensor,
    targets: Tensor,
    sweeps: int,
    tolerance: float,
    max_rank: int | None,
    iterations: int,
) -> None:
    if not isinstance(classifier, MPSClassifier):
        raise OptionError(f"fit_two_site: got a {type(classifier).__name__}; pass an MPSClassifier.")
    numbers = {"sweeps": sweeps, "iterations": iterations, "max_rank": 1 if max_rank is None else max_rank}
    for name, number in numbers.items():
        check_count("fit_two_site", name, number)
    check_number("fit_two_site", "tolerance", tolerance, 0, 1)
    dtype = classifier.value.dtype
    check_tensors("fit_two_site", (inputs,))
    if inputs.ndim != 2 or inputs.shape[1] != classifier.samples or not len(inputs) or inputs.dtype != dtype:
        raise ShapeError(
            f"fit_two_site: got {inputs.dtype} inputs of shape {tuple(inputs.shape)}; pass (N, {classifier.samples}) "
            f"with N from 1 in {dtype}."
        )
    if not isinstance(targets, Tensor) or targets.shape[:1] != inputs.shape[:1]:
        got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ShapeError(
            f"fit_two_site: the targets are {got}; pass a tensor of {len(inputs)}, one per input."
        )

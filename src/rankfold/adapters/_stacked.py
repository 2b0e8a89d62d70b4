"""One small core for many layers: equal-shaped weights as a third-order tensor, changed by ``C * dU * R``.

Axes: O and I of the weights, L layers, P places (columns or rows) that were chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankfold._checks import check_count
from rankfold.adapters._change import Change
from rankfold.convert import Candidate
from rankfold.decompose._tubal import TRANSFORMS, cosine_matrix, largest_crossing, tube_product
from rankfold.linalg import matrix_dtype

__all__ = ["StackedCUR", "StackedCURChange", "StackedCore"]


class StackedCore(nn.Module):
    """What the layers of one stack share: the core that is trained, and columns and rows of the frozen weights.

    Arguments:
        weights: L frozen weights ``(O, I)``.
        rank: number P of columns and rows.
        transform: of the t-product.
    """

    columns: Tensor
    rows: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, weights: Sequence[Tensor], rank: int, transform: str) -> None:
        super().__init__()
        stack = self._stack(weights)
        columns, rows = largest_crossing(stack, rank, transform)
        self.weights, self.transform = tuple(weights), transform
        self.update = nn.Parameter(stack.new_zeros(rank, rank, stack.shape[2]))
        self.register_buffer("columns", columns)
        self.register_buffer("rows", rows)
        # Parts of the frozen weights, which are read from there again when an adapter is loaded.
        self.register_buffer("left", stack[:, columns].contiguous(), persistent=False)
        self.register_buffer("right", stack[rows].contiguous(), persistent=False)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """With other columns and rows come other parts of the frozen weights."""
        super()._load_from_state_dict(*args, **options)
        stack = self._stack(self.weights)
        self.left, self.right = stack[:, self.columns].contiguous(), stack[self.rows].contiguous()

    @staticmethod
    @torch.no_grad()
    def _stack(weights: Sequence[Tensor]) -> Tensor:
        stack = torch.stack([weight.detach() for weight in weights], 2)
        return stack.to(matrix_dtype(stack))

    def factors(self, layer: int) -> tuple[Tensor, Tensor]:
        """A and B with ``A B`` the change of one layer's weight: ``(O, K)`` and ``(K, I)``."""
        size = self.update.shape[2]
        if self.transform == "fft":
            # Slice l of a circular convolution: the sum over m of slice l - m of the left and slice m of the right.
            outer_OPL = tube_product(self.left, self.update, "fft")
            order = (layer - torch.arange(size, device=self.update.device)) % size
            return outer_OPL[:, :, order].permute(0, 2, 1).flatten(1), self.right.permute(2, 0, 1).flatten(
                0, 1
            )
        kind = TRANSFORMS[self.transform]
        slices = [kind.forward(part).permute(2, 0, 1) for part in (self.left, self.update, self.right)]
        shares = torch.eye(size) if self.transform == "none" else cosine_matrix(size, self.update)
        share = shares[:, layer].to(self.update)
        used = share.nonzero().flatten()
        outer = (slices[0][used] @ slices[1][used]) * share[used, None, None]
        return outer.permute(1, 0, 2).flatten(1), slices[2][used].flatten(0, 1)


class StackedCURChange(Change):
    """The part of a stack's change that one layer sees.

    Arguments:
        core: shared by the layers of the stack.
        layer: number of this one.
        transposed: whether the weight is ``(I, O)``.
    """

    def __init__(self, core: StackedCore, layer: int, transposed: bool) -> None:
        super().__init__()
        self.core, self.layer, self.transposed = core, layer, transposed

    def changed(self, weight: Tensor) -> Tensor:
        """W plus the change."""
        outer, inner = self.core.factors(self.layer)
        return weight.to(outer.dtype) + outer @ inner

    def run(self, base: nn.Module, *inputs: Any) -> Tensor:
        """The frozen layer and two thin products."""
        outer, inner = self.core.factors(self.layer)
        first, second = (outer.mT, inner.mT) if self.transposed else (inner, outer)
        result, own = base(*inputs), inputs[0].to(outer.dtype)
        return result + nn.functional.linear(nn.functional.linear(own, first), second).to(result.dtype)


@dataclass(frozen=True, slots=True)
class StackedCUR:
    """One adapter for all linear layers of equal shape: ``W + C * dU * R``, of which only dU is trained.

    Their weights are the slices of a third-order tensor; C and R are its columns and rows with the largest norms, and
    dU is ``rank x rank x layers`` numbers, real and zero at the start. One number of dU touches every layer of the
    stack, unless ``transform="none"``, which also makes the order of the layers irrelevant; with ``"fft"``, the
    published choice, a permutation of the layers gives another adapter.

    Arguments:
        rank: number of columns and rows; at most those of the weights.
        transform: ``'fft'``, ``'dct'`` or ``'none'``.

    Raises:
        OptionError: a rank that is no whole number of at least 1, or an unknown transform.

    Reference:
        He et al. 2025, "tCURLoRA: Tensor CUR decomposition based low-rank parameter adaptation for medical image
        segmentation". Its released script leaves the core out of the optimiser; here it is a parameter of the model.

    Example:
        >>> StackedCUR(2, transform="none")
        StackedCUR(rank=2, transform='none')
    """

    name: ClassVar[str] = "stacked_cur"
    summary: ClassVar[str] = "one small core over all layers of equal shape (t-CUR)"
    rank: int = 4
    transform: str = "fft"

    def __post_init__(self) -> None:
        check_count("adapters.StackedCUR", "rank", self.rank)
        TRANSFORMS[self.transform]

    def changes(
        self, candidates: Sequence[Candidate], generator: torch.Generator | None
    ) -> list[Change | str]:
        """One change per layer; the layers of a stack share their core."""
        stacks: dict[Any, list[int]] = {}
        for place, candidate in enumerate(candidates):
            weight = candidate.weight
            assert weight is not None
            if candidate.rule.name in ("Linear", "Conv1D"):
                stacks.setdefault((candidate.rule.name, weight.shape, weight.device), []).append(place)
        found: list[Change | str] = ["it is no linear layer"] * len(candidates)
        for (kind, shape, _), places in stacks.items():
            if len(places) < 2:
                found[places[0]] = f"no other layer has the shape {tuple(shape)}: there is nothing to stack"
                continue
            if self.rank > min(shape):
                for place in places:
                    found[place] = f"the rank {self.rank} is above the smaller side of {tuple(shape)}"
                continue
            weights = [weight for place in places if (weight := candidates[place].weight) is not None]
            core = StackedCore(weights, self.rank, self.transform)
            for number, place in enumerate(places):
                found[place] = StackedCURChange(core, number, transposed=kind == "Conv1D")
        return found

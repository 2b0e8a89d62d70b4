"""Fully connected layer over a TT-matrix, contracted with the input or multiplied out, whichever is cheaper."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from rankfold._errors import ShapeError
from rankfold.formats import (
    Contraction,
    Group,
    contracted_parts,
    cores_of,
    merged_core,
    plan_contraction,
)
from rankfold.layers._machine import machine_for
from rankfold.layers._merged import MergedCore
from rankfold.layers._tracing import being_traced
from rankfold.layers._tt_matrix_layer import CORES, BondsLike, TTMatrixLayer

__all__ = ["TTMatrixLinear"]

# Share of the dense multiplications from which on the time is about that of the dense layer: of the shares measured by
# benchmarks/tt_linear.py 0.25 takes half the time and 0.75 takes all of it.
_NO_GAIN = 0.5

_Part = tuple[Tensor, int, int]


class TTMatrixLinear(TTMatrixLayer):
    """``nn.Linear`` with a TT-matrix for a weight: few parameters, and where its ranks are small few operations.

    Each call takes the order of least operations, with neighbouring cores multiplied with each other first where that
    saves some, unless an estimate of the time says that the whole weight is multiplied out faster.
    ``execution = 'chain'`` or ``'dense'`` decides for it. In evaluation what was multiplied out is kept between calls.
    TDLRT trains the cores as it trains biases: by its inner optimiser, at fixed ranks.

    Arguments:
        in_features, out_features, bias, device, dtype: as of ``nn.Linear``.
        rank: one number for all bonds, one per bond, or a function of the two tuples of sizes, such as
            :func:`rankfold.formats.full_bonds`.
        cores: number of factors that both features are split into.
        out_sizes, in_sizes: the factors themselves; None finds some as equal as can be.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        ShapeError: sizes that are not factors of the features, or fewer than two cores.
        RankError: a rank above the full bonds or below 1.

    Reference:
        Novikov et al. 2015, "Tensorizing neural networks".

    Example:
        >>> import torch
        >>> layer = TTMatrixLinear(1024, 4096, rank=8)
        >>> layer(torch.zeros(2, 1024)).shape, layer.ranks, layer.value.num_parameters
        (torch.Size([2, 4096]), (8, 8), 11264)
        >>> layer.note
        'its contraction takes 0.34x the multiplications of the dense layer'
    """

    dense_class = nn.Linear
    dense_arguments = ("in_features", "out_features")
    executions: ClassVar[tuple[str, ...]] = ("chain", "dense")
    #: None lets the layer choose by an estimate of the time; ``'chain'`` and ``'dense'`` decide for it.
    execution: Literal["chain", "dense"] | None = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        rank: BondsLike,
        cores: int = CORES,
        out_sizes: Sequence[int] | None = None,
        in_sizes: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._merged = MergedCore()
        shape, size = (out_features, in_features), out_features if bias else None
        self._create(shape, size, rank, (cores, out_sizes, in_sizes), generator, device, dtype)

    @property
    def note(self) -> str | None:
        """The multiplications of the contraction for many inputs by those of the dense layer."""
        dense = self._for_many["dense"].flops
        ratio = self._for_many[None].flops / dense
        if ratio < 1:
            gain = "" if ratio < _NO_GAIN else ", which saves memory rather than time"
            return f"its contraction takes {ratio:.2f}x the multiplications of the dense layer{gain}"
        chain = self._for_many["chain"].flops / dense
        return (
            f"no faster than dense: contracting its cores takes {chain:.1f}x the multiplications, so it multiplies its "
            "weight out"
        )

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        if input.shape[-1:] != (self.in_features,):
            raise ShapeError(
                f"TTMatrixLinear: got an input of shape {tuple(input.shape)}; its last axis must be "
                f"{self.in_features}, so pass vectors of this length."
            )
        changed: Any = self._perturbed()
        cores: list[Tensor] = list(self.parts.values() if changed is None else changed.cores)
        bias = self.bias
        rows = input.reshape(-1, self.in_features)
        device = input.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            rows, cores = rows.to(dtype), [core.to(dtype) for core in cores]
            bias = None if bias is None else bias.to(dtype)
        output = contracted_parts(cores, rows, self._groups(input, len(rows), cores, changed is None))
        if bias is not None:
            output = output + bias
        return output.reshape(*input.shape[:-1], self.out_features)

    def plan(self, input: Tensor) -> Contraction:
        """The contraction that a call with this input takes, in training."""
        return self._plan(input.numel() // self.in_features, False, input)

    def _groups(self, input: Tensor, rows: int, cores: list[Tensor], stored: bool) -> list[_Part]:
        """The cores in the groups and the order in which they meet the input."""
        traced = being_traced(input)
        kept = stored and not (traced or self.training or torch.is_grad_enabled() or cores[0].is_inference())
        # The cost of a graph may not depend on the number of inputs, which a compiler leaves open.
        plan = self._for_many[self.execution] if traced else self._plan(rows, kept, input)
        if not kept or all(isinstance(group, int) for group in plan.groups):
            return _merged_parts(cores, plan.groups)
        # Where no gradient can follow, what was multiplied out is kept between calls.
        key = (plan.groups, cores[0].dtype)
        return self._merged.get(key, list(self.parts.values()), lambda: _merged_parts(cores, plan.groups))

    def _plan(self, rows: int, kept: bool, input: Tensor) -> Contraction:
        chosen: list[Literal["chain", "dense"] | None] = (
            [None, "dense"] if self.execution is None else [self.execution]
        )
        ways = [
            plan_contraction(
                self.out_sizes,
                self.in_sizes,
                self.ranks,
                rows,
                execution=execution,
                kept=kept,
                element_size=input.element_size(),
            )
            for execution in chosen
        ]
        machine, products = machine_for(input.device.type), len(self.out_sizes)

        def seconds(plan: Contraction) -> float:
            """Estimated time; a backward takes twice as long again whatever the order, so it changes no choice."""
            calls = len(plan.groups) if kept else products
            return plan.flops / machine.flops + plan.bytes / machine.bandwidth + calls * machine.overhead

        return min(ways, key=seconds)

    def _settle(self) -> None:
        self._merged.clear()
        self._for_many: dict[str | None, Contraction] = {
            execution: plan_contraction(
                self.out_sizes, self.in_sizes, self.ranks, 1, execution=execution, kept=True
            )
            for execution in (None, "chain", "dense")
        }

    def train(self, mode: bool = True) -> Self:
        """As of every module; what evaluation kept is dropped."""
        self._merged.clear()
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_merged": MergedCore()}  # a copy multiplies out its own cores


def _merged_parts(cores: list[Tensor], groups: tuple[Group, ...]) -> list[_Part]:
    return [(merged_core(cores, group), *cores_of(group)) for group in groups]

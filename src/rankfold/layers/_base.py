"""What the layers over a Tucker tensor share: parameters, initialisation, execution, and the ways in and out.

The weight of a layer is ``Tucker(core, factors)``; core and factors are parameters named ``core`` and
``factor_<mode>``.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from rankfold._errors import RankError
from rankfold.formats import Tucker, checked_modes, checked_ranks
from rankfold.layers._chain import Chain, run_chain
from rankfold.layers._execution import EXECUTIONS, Execution, Sizes, cheapest_sides, sides_of
from rankfold.layers._format_layer import FormatLayer, normal_like
from rankfold.layers._machine import machine_for
from rankfold.layers._merged import MergedCore
from rankfold.layers._one_pass import OnePass
from rankfold.layers._resize import replace_data
from rankfold.layers._sides import is_channels_last
from rankfold.layers._tracing import being_traced
from rankfold.linalg import mode_products, orthonormalize

__all__ = ["FactorizedLayer", "RankLike"]

# Input shapes and ranks whose execution a layer remembers.
_MOST_CHOICES = 256

RankLike = int | Sequence[int] | Callable[[Sequence[int], Sequence[int]], tuple[int, ...]]


class FactorizedLayer(FormatLayer):
    """Base of the layers whose weight is a Tucker tensor.

    A subclass names the ``nn`` class it stands for and that class's constructor arguments, gives the shape of
    the weight, and computes the forward and the plain layers it folds to.
    """

    executions: ClassVar[tuple[str, ...]] = EXECUTIONS
    #: Whether the core lies in memory with its input ranks last.
    channels_last: ClassVar[bool] = False
    core: nn.Parameter
    #: Whether factors may be multiplied into the core before a call.
    mergeable: ClassVar[bool] = True
    groups: int = 1
    #: None lets the layer choose by an estimate of the time; ``'chain'``, ``'merge_input'``, ``'merge_output'`` and
    #: ``'dense'`` decide for it.
    execution: Execution | None = None
    #: Where a backward leaves what TDLRT's one-pass step needs; set by the optimiser.
    one_pass: OnePass | None = None
    #: Compute hidden values anew in the backward, which takes time and saves memory.
    recompute: bool = False

    def _create(
        self,
        weight_shape: Sequence[int],
        bias_size: int | None,
        rank: RankLike,
        modes: Sequence[int],
        generator: torch.Generator | None,
        device: Any,
        dtype: Any,
    ) -> None:
        where = type(self).__name__
        self._merged_core = MergedCore()
        self._choices: dict[Any, tuple[int, ...]] = {}
        self.modes = checked_modes(where, modes, len(weight_shape))
        given = rank(weight_shape, self.modes) if callable(rank) else rank
        ranks = checked_ranks(where, given, weight_shape, self.modes)
        core_shape = list(weight_shape)
        for mode, value in zip(self.modes, ranks, strict=True):
            core_shape[mode] = value
            factor = torch.empty(weight_shape[mode], value, device=device, dtype=dtype)
            self.register_parameter(f"factor_{mode}", nn.Parameter(factor))
        self.core = nn.Parameter(torch.empty(0, device=device, dtype=dtype))
        replace_data(self.core, torch.empty(core_shape, device=device, dtype=dtype), self.channels_last)
        bias = None if bias_size is None else nn.Parameter(torch.empty(bias_size, device=device, dtype=dtype))
        self.register_parameter("bias", bias)
        self.reset_parameters(generator)

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def factors(self) -> dict[int, nn.Parameter]:
        """The factor of each factorised mode."""
        parameters: Any = self._parameters  # past nn.Module's slower lookup
        return {mode: parameters[f"factor_{mode}"] for mode in self.modes}

    @property
    def parts(self) -> dict[str, nn.Parameter]:
        """The core, then the factors."""
        return {"core": self.core, **{f"factor_{mode}": factor for mode, factor in self.factors.items()}}

    @property
    def value(self) -> Tucker:
        """The weight as a format: :attr:`tucker`."""
        return self.tucker

    @property
    def tucker(self) -> Tucker:
        """The weight as a format, sharing the live parameters."""
        factors = self.factors
        return Tucker(self.core, tuple(factors.get(mode) for mode in range(self.core.ndim)))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each mode; n_i where mode i is not factorised."""
        return tuple(self.core.shape)

    # -- the forward -----------------------------------------------------------------------------------

    def _run(self, input: Tensor, *details: Any) -> Tensor:
        """Apply the layer to a batch, in the way that is fastest or asked for."""
        sides = self._sides(input)
        chain = self._chain(sides, *details)
        changed: Any = self._perturbed()
        perturbed = None if changed is None else changed.core
        core, inner, outer = self._tensors(sides, input, perturbed)
        tensors = [input, core, self.bias, inner, outer]
        device = input.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            tensors = [t.to(dtype) if t is not None and t.is_floating_point() else t for t in tensors]
        # The gradient of a core that is not the parameter itself is of no use to a step that widens the parameter.
        one_pass = self.one_pass if perturbed is None else None
        return run_chain(chain, *tensors, one_pass=one_pass, recompute=self.recompute)  # pyright: ignore

    def _tensors(
        self, sides: tuple[int, ...], input: Tensor, perturbed: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The core with all other factors multiplied in, and the factors of the two sides."""
        inner, outer = (
            self._parameters[f"factor_{mode}"] if mode in sides else None for mode in self.channel_modes
        )
        relaid = self.channels_last and not is_channels_last(input)
        merged = len(sides) < len(self.modes)
        if not (merged or relaid):
            return self.core if perturbed is None else perturbed, inner, outer
        if perturbed is not None:
            return self._absorbed(sides, perturbed), inner, outer
        if self.training or torch.is_grad_enabled() or being_traced(input) or self.core.is_inference():
            return self._absorbed(sides), inner, outer
        # Where no gradient can follow, what was merged and laid out for the kernels is kept between calls.
        parameters = [self.core, *(f for mode, f in self.factors.items() if mode not in sides)]
        if inner is not None:
            parameters.append(inner)

        def prepare() -> tuple[Tensor, Tensor | None]:
            core = self._absorbed(sides)
            if not relaid:
                return core, inner
            return core.contiguous(), None if inner is None else inner.mT.contiguous().mT

        autocast = torch.is_autocast_enabled(input.device.type) and torch.get_autocast_dtype(
            input.device.type
        )
        core, inner = self._merged_core.get((sides, relaid, autocast), parameters, prepare)
        return core, inner, outer

    def _chain(self, sides: tuple[int, ...], *details: Any) -> Chain:
        """The stages with the factors of the modes in ``sides`` apart."""
        raise NotImplementedError

    def _sides(self, input: Tensor) -> tuple[int, ...]:
        """Modes whose factors stay apart in this call."""
        available = tuple(mode for mode in self.modes if mode < 2)
        collecting = self.one_pass is not None and torch.is_grad_enabled()
        if collecting or not self.mergeable:
            return available
        if self.execution is not None:
            return sides_of(self.execution, self.channel_modes, available)
        if being_traced(input):
            return available  # the cost of a graph is its compiler's business
        machine, grad = machine_for(input.device.type), torch.is_grad_enabled()
        key = (input.shape, self.core.shape, grad, machine)
        if key not in self._choices:
            if len(self._choices) >= _MOST_CHOICES:
                self._choices.clear()
            self._choices[key] = cheapest_sides(self._sizes(input, available, grad), machine)
        return self._choices[key]

    def _sizes(self, input: Tensor, available: tuple[int, ...], training: bool) -> Sizes:
        full, before = self.weight_shape, self.channel_modes[0]
        positions = input.numel() // (full[before] * (self.groups if before == 1 else 1))
        return Sizes(
            self.ranks,
            full,
            self.channel_modes,
            available,
            self.groups,
            positions,
            self._positions_out(positions),
            training,
            self.core.element_size(),
        )

    def _positions_out(self, positions: int) -> int:
        return positions

    def train(self, mode: bool = True) -> Self:
        """As of every module; what evaluation kept is dropped."""
        self._merged_core.clear()
        return super().train(mode)

    # -- initialisation --------------------------------------------------------------------------------

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Random orthonormal factors, and a core that gives the weight exactly the variance of the dense layer.

        With orthonormal factors ``||W|| = ||C||``; scaling the core to the norm of the dense original's
        expected weight makes this hold at every rank, where independent entries would leave a low rank to luck.

        Arguments:
            generator: source of the random numbers; None is torch's global one.
        """
        for factor in self.factors.values():
            work = normal_like(factor, generator)
            if work.shape[0] >= work.shape[1]:
                work = orthonormalize(work)
            factor.copy_(work)
        core = normal_like(self.core, generator)
        norm = (self._weight_variance() * prod(self.weight_shape)) ** 0.5
        self.core.copy_(core * (norm / torch.linalg.vector_norm(core)))
        if self.bias is not None:
            bound = self._fan_in() ** -0.5
            self.bias.uniform_(-bound, bound, generator=generator)

    # -- in and out ------------------------------------------------------------------------------------

    @classmethod
    def from_dense(
        cls,
        module: nn.Module,
        *,
        rank: RankLike,
        modes: Sequence[int] | None = None,
        rescale: bool = False,
    ) -> Self:
        """Factorise the weight of a plain layer by sequentially truncated HOSVD.

        Arguments:
            module: a layer of ``dense_class``; its bias parameter is taken over, not copied.
            rank: one number, one rank per mode, or a rank policy.
            modes: the modes to factorise; None means the layer's usual ones.
            rescale: scale the core so that the norm of the weight is kept. For a network about to be trained
                from scratch, where the scale of the random weights matters and their exact values do not.

        Returns:
            The factorised layer, with the device, dtype, mode and ``requires_grad`` of the original.

        Raises:
            RankError: a rank that the shape does not allow.
            NonFiniteError: the weight holds NaN or infinity.
        """
        weight = module.weight
        assert isinstance(weight, Tensor)
        layer = cls.like(module, rank=rank, modes=modes)
        with torch.no_grad():
            ranks = [layer.core.shape[mode] for mode in layer.modes]
            tucker = Tucker.from_dense(weight.detach(), ranks=ranks, modes=layer.modes)
        layer.assign_approximation(tucker, weight, rescale=rescale)
        return layer

    @classmethod
    def like(cls, module: nn.Module, *, rank: RankLike, modes: Sequence[int] | None = None) -> Self:
        """A factorised layer shaped like a plain one, with its bias, and uninitialised core and factors."""
        weight = module.weight
        assert isinstance(weight, Tensor)
        arguments = {name: getattr(module, name) for name in cls.dense_arguments}
        bias = getattr(module, "bias", None)
        if "bias" in cls.__init__.__annotations__:
            arguments["bias"] = bias is not None
        if modes is not None:
            arguments["modes"] = modes
        with torch.device("meta"):
            layer = cls(**arguments, rank=rank, dtype=weight.dtype)
        layer.to_empty(device=weight.device)
        if bias is not None:
            layer.bias = bias
        return layer.train(module.training)

    @torch.no_grad()
    def assign_approximation(self, tucker: Tucker, weight: Tensor, *, rescale: bool = False) -> None:
        """Take over a Tucker value that stands for a dense weight; parameters ask for gradients as the weight does.

        Arguments:
            tucker: as for ``assign``.
            weight: what it approximates.
            rescale: scale the core to the norm of the weight.
        """
        core = tucker.core
        if rescale:
            length = torch.linalg.vector_norm(core)
            core = core * (torch.linalg.vector_norm(weight) / torch.where(length > 0, length, 1.0))
        self.assign(Tucker(core, tucker.factors))
        for parameter in (self.core, *self.factors.values()):
            parameter.requires_grad_(weight.requires_grad)

    @torch.no_grad()
    def reserve(self, core_shape: Sequence[int]) -> None:
        """Make room for tensors of other ranks, with uninitialised values where a shape changes.

        Arguments:
            core_shape: any ranks up to n_i; in the middle of a training cycle one may exceed the product of the others.

        Raises:
            RankError: not one rank per mode, a rank out of range, or another dimension in a mode without factor.
        """
        shape, modes = self.weight_shape, self.modes
        ranges = [range(1, n + 1) if mode in modes else (n,) for mode, n in enumerate(shape)]
        if len(core_shape) != len(shape) or any(r not in a for r, a in zip(core_shape, ranges, strict=True)):
            raise RankError(
                f"{type(self).__name__}: a core of shape {tuple(core_shape)} does not fit a weight of shape {shape} "
                f"factorised along modes {modes}; a rank lies in 1..n_i, the other dimensions are those of the weight."
            )
        factors = {f"factor_{mode}": (shape[mode], core_shape[mode]) for mode in modes}
        self._resize({"core": tuple(core_shape), **factors})

    def share(self, other: "FactorizedLayer") -> None:
        """Use the core and factors of another layer from now on, as tied weights do."""
        self.modes = other.modes
        super().share(other)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Plain ``nn`` layers that compute the same: of all ways to absorb factors into the core, the smallest.

        Returns:
            An ``nn.Sequential`` of plain layers, or one dense layer where that has no more parameters.
        """
        candidates = self.fold_candidates()
        sizes = [sum(parameter.numel() for parameter in candidate.parameters()) for candidate in candidates]
        return candidates[sizes.index(min(sizes))]

    @torch.no_grad()
    def fold_candidates(self) -> list[nn.Module]:
        """Plain ``nn`` layers that compute the same, for every way to absorb factors; the dense layer comes first."""
        keeps = [keep for keep in ((), (0,), (1,), (0, 1)) if set(keep) <= set(self.modes)]
        chains = [self._fold_stages(keep) for keep in keeps]
        return [
            (chain[0] if len(chain) == 1 else nn.Sequential(*chain)).train(self.training) for chain in chains
        ]

    def _fold_stages(self, keep: tuple[int, ...]) -> list[nn.Module]:
        raise NotImplementedError

    def _absorbed(self, keep: tuple[int, ...], core: Tensor | None = None) -> Tensor:
        """The core, or another one, with every factor multiplied in except those of the modes in ``keep``."""
        factors = {mode: factor for mode, factor in self.factors.items() if mode not in keep}
        return mode_products(self.core if core is None else core, factors)

    # -- state -----------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # A copy trains under another optimiser, or none, and merges its own core.
        return {**self.__dict__, "one_pass": None, "_merged_core": MergedCore(), "_choices": {}}

    def _replace(self, name: str, part: nn.Parameter, tensor: Tensor) -> None:
        replace_data(part, tensor, self.channels_last and name == "core")

    def _fits(self, stored: Mapping[str, Tensor]) -> bool:
        core, shape = stored["core"], list(self.weight_shape)
        if core.ndim != len(shape):
            return False
        for mode in self.modes:
            full, shape[mode] = shape[mode], core.shape[mode]
            if stored[f"factor_{mode}"].shape != (full, shape[mode]) or not 1 <= shape[mode] <= full:
                return False
        return list(core.shape) == shape

    def _form(self) -> str:
        return f"factorised along modes {self.modes}"

"""The TDLRT optimiser: a thin stateful shell over integrators, truncation and state transport."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold._errors import NonFiniteError
from rankfold.formats import pad_core, truncate_cores, within_budget
from rankfold.layers import FactorizedLayer, replace_data
from rankfold.layers._resize import laid_out_as
from rankfold.ranks import RankPolicy
from rankfold.training._autocast import full_precision, in_current_autocast
from rankfold.training._basis_moves import inner_moves, layer_gradients, turn_frames
from rankfold.training._cycle_state import require_known_ranks
from rankfold.training._cyclic_optimizer import CyclicOptimizer
from rankfold.training._data_parallel import unwrapped
from rankfold.training._finite import non_finite_cores, require_finite_gradients
from rankfold.training._one_pass import arm, collected_gradients, one_passes, projected, with_columns
from rankfold.training._options import check_options
from rankfold.training._parameter_budget import budget_at, check_budget, size_of
from rankfold.training._records import Cut, RankRecord, rank_records
from rankfold.training._replay import Replay
from rankfold.training._setup import (
    DEFECT_IN_EPS,
    LOOSE,
    bring_to_form,
    inner_groups,
    is_idle,
    largest_ranks,
    parameters_beside,
    rate_of,
    trainable_layers,
)
from rankfold.training._sharded import require_whole, split_sharded
from rankfold.training._snapshot import Snapshot
from rankfold.training._transport import pad_state, rotate_state, set_state, transport_rule
from rankfold.training._workers import SharedTraining
from rankfold.training.integrators import INTEGRATORS, Integrator

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["TDLRT"]


class TDLRT(CyclicOptimizer):
    """Trains the factorised layers of a model on the manifold of low-rank tensors, and the rest as usual.

    A cycle is a basis step, ``core_steps`` steps of the inner optimiser on the cores, and a truncation to
    ``tolerance``. The basis step uses one gradient to turn or widen the bases and leaves the cores alone. The inner
    optimiser trains the cores and every dense parameter; weight decay acts on cores only, where ``||C|| = ||W||``.
    When ranks change its state moves along. Between cycles all ranks are exact. Layers over a TT-matrix count among the
    rest: the inner optimiser trains their cores as they are, at fixed ranks.

    Without a closure each ``step()`` uses one gradient, so a cycle takes ``1 + core_steps`` calls. With
    ``core_steps=1`` one call is one cycle, the paper's two-gradient step. With a closure, it is evaluated twice on the
    same batch with the same random numbers. Without one, the layers take the second gradient in the backward of the
    first (widening a basis does not change the function), so it costs no second pass and agrees to rounding; a
    layer that ran compiled or under ``torch.func`` cannot, and then a cycle takes two calls.
    ``integrator='parallel'`` needs no second gradient; there the inner optimiser moves K_i = U_i S_i beside the cores,
    with moments of their own, and the bases turn by that.

    Arguments:
        model: a module with factorised layers (see :func:`rankfold.factorize`), maybe in DistributedDataParallel. Bases
            that are not orthonormal, or cores far from HOSVD form, are brought there; the function stays the same.
        inner_optimizer_class: ``torch.optim.SGD``, ``Adam``, ``AdamW``, or one made known with
            :func:`rankfold.register_transport`.
        tolerance: relative truncation error of each weight, in [0, 1). 0.05 to 0.2 are usual.
        integrator: ``'augmented'``, ``'parallel'`` or ``'fixed'``, another name in ``rankfold.training.INTEGRATORS``,
            or an integrator of your own.
        core_steps: steps on the cores between two basis steps, at least 1. A new direction survives truncation
            only once it has grown above the tolerance, which takes several steps at small learning rates.
        basis_every: cycles begin only at steps that this number divides, at least 1; in between the cores train at
            the ranks they have. With ``core_steps=1`` this spreads the cost of an exact step over many.
        min_rank: no mode is cut below this (as far as its shape allows). At least 1.
        max_rank: None, or a policy, whole number or fraction that no truncation exceeds.
        rank_quantum: ranks are rounded up to multiples of it where the widened basis has so many; 16 suits kernels
            and ``torch.compile``. At least 1, which rounds nothing.
        parameter_budget: None, or the most parameters that all these layers together may have in cores and factors.
            Where a truncation to the tolerance leaves more, directions with the least energy per parameter go, over
            all layers, so that the budget finds the ranks (with ``tolerance=0`` it alone does).
        tolerance_warmup: number of steps over which the tolerance rises linearly from 0.
        budget_warmup: number of steps over which the budget falls linearly from the size that the layers begin with,
            so that what is cut has had time to grow.
        freeze_bases_after: None, or the number of steps after which bases and ranks stay and only cores train.
        param_groups: None, or dictionaries as ``torch.optim`` takes them, over the model's parameters; bases among
            them are left out.
        accumulate: several backward passes make one step (gradient accumulation), or one layer is used several times
            in a forward. Only matters for ``core_steps=1`` without a closure; then inputs and output gradients of the
            layers are kept until the step, and without it such gradients are refused.
        on_truncation: called with a :class:`RankRecord` for every layer at every truncation; a
            :class:`rankfold.training.TensorBoardLog` draws curves of them.
        process_group: the workers that train this model together and average its gradients; None means all of
            torch.distributed where that runs, or those of a DistributedDataParallel passed as model.
        **inner_arguments: for the inner optimiser, such as ``lr``.

    Raises:
        OptionError: an argument out of range.
        OptimizerError: no factorised layer to train, an inner optimiser whose state cannot be moved, or workers and
            wrappers that cannot train together.

    Reference:
        Zangrando, Schotthöfer, Ceruti, Kusch, Tudisco 2024, "Geometry-aware training of factorized layers in
        tensor Tucker format", algorithm 1; core steps as in Schotthöfer et al. 2025, "Dynamical low-rank
        compression of neural networks with robustness under adversarial attacks", algorithm 1.

    Example:
        >>> import torch, rankfold as rf
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> _ = rf.factorize(model, rank=4)
        >>> optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1, momentum=0.9, tolerance=0.1)
        >>> x, y = torch.randn(128, 64), torch.randint(0, 4, (128,))
        >>> for _ in range(22):
        ...     optimizer.zero_grad()
        ...     loss = nn.functional.cross_entropy(model(x), y)
        ...     loss.backward()
        ...     _ = optimizer.step()
        >>> bool(loss < 1.2), sorted(optimizer.records)
        (True, ['0', '2'])
    """

    def __init__(
        self,
        model: nn.Module,
        inner_optimizer_class: type[Optimizer],
        *,
        tolerance: float = 0.1,
        integrator: str | Integrator = "augmented",
        core_steps: int = 10,
        basis_every: int = 1,
        min_rank: int = 1,
        max_rank: RankPolicy | int | float | None = None,
        rank_quantum: int = 1,
        parameter_budget: int | None = None,
        tolerance_warmup: int = 0,
        budget_warmup: int = 0,
        freeze_bases_after: int | None = None,
        param_groups: Iterable[Mapping[str, Any]] | None = None,
        accumulate: bool = False,
        on_truncation: Callable[[RankRecord], None] | None = None,
        process_group: "ProcessGroup | None" = None,
        **inner_arguments: Any,
    ) -> None:
        check_options(
            tolerance,
            core_steps=core_steps,
            basis_every=basis_every,
            min_rank=min_rank,
            rank_quantum=rank_quantum,
            tolerance_warmup=tolerance_warmup,
            budget_warmup=budget_warmup,
            freeze_bases_after=freeze_bases_after,
            parameter_budget=parameter_budget,
        )
        self.integrator = integrator if isinstance(integrator, Integrator) else INTEGRATORS[integrator]
        self.transport = transport_rule(inner_optimizer_class)
        self.tolerance, self.core_steps, self.basis_every = tolerance, core_steps, basis_every
        self.min_rank, self.rank_quantum = min_rank, rank_quantum
        self.parameter_budget, self.budget_warmup = parameter_budget, budget_warmup
        self.tolerance_warmup, self.freeze_bases_after = tolerance_warmup, freeze_bases_after
        self.on_truncation = on_truncation
        #: The latest truncation of each layer.
        self.records: dict[str, RankRecord] = {}
        self.steps_done = 0
        self._core_steps_left = 0
        self._ranks_before: dict[str, tuple[int, ...]] = {}  # of the layers in the current cycle
        self._fresh: dict[str, dict[int, Tensor]] = {}  # inside a step: new columns that no layer has yet

        model, wrapper = unwrapped(model)
        self.model = model
        self.layers = trainable_layers(model)
        require_whole(model, self.layers)
        check_budget(parameter_budget, self.layers.values(), min_rank, adaptive=self.integrator.adaptive)
        bases = [factor for layer in self.layers.values() for factor in layer.factors.values()]
        groups = split_sharded(inner_groups(model, param_groups))
        extra = parameters_beside(model, groups)
        self.shared = SharedTraining(model, self.layers, extra=extra, wrapper=wrapper, group=process_group)
        self.shared.begin(
            f"{inner_optimizer_class.__name__} {self.integrator.name} {tolerance} {core_steps} {basis_every} "
            f"{min_rank} {rank_quantum} {parameter_budget} {tolerance_warmup} {budget_warmup} {freeze_bases_after}"
        )
        self.max_ranks = largest_ranks(self.layers, max_rank)
        self._first_size = size_of(self.layers.values())
        self._shapes = {name: layer.weight_shape for name, layer in self.layers.items()}
        self._names = {parameter: name for name, parameter in model.named_parameters()}

        self.inner = inner_optimizer_class(groups, **inner_arguments)
        self._ready = False
        # The bases form a last group of this optimiser, so that GradScaler unscales their gradients and looks for
        # infinities in them; the inner optimiser does not have it.
        super().__init__([*self.inner.param_groups, {"params": bases}], dict(self.inner.defaults))
        self._ready = True
        self.state = self.inner.state
        with full_precision(self._device_type):
            self._turned = bring_to_form(self.layers)  # until the first step
        self._note_ranks()
        # Directions that widen a basis come from gradients of all workers, which are there after the backward.
        self._passes = one_passes(model, self.layers, accumulate or self.shared.several)
        self._prepare_pass()

    # -- the step --------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Use the gradients of one batch: a basis step, a core step, or with a closure and one core step a cycle.

        Arguments:
            closure: clears the gradients, evaluates the loss, calls ``backward`` and returns the loss.

        Returns:
            What the closure returned at its first evaluation, or None.

        Raises:
            NonFiniteError: a gradient holds NaN or infinity; nothing was changed.
        """
        require_known_ranks(self.layers, self._known_ranks)
        self._turned = {}
        whole_cycle = closure is not None and self.core_steps == 1 and self._basis_step_is_next()
        replay = Replay(self.model) if whole_cycle else None
        again = None if closure is None else in_current_autocast(closure, self._device_type)
        loss = None
        try:
            if closure is not None:
                arm(self._passes, False)
                with torch.enable_grad():
                    loss = closure()
            with full_precision(self._device_type):
                self._advance(again, replay)
        finally:
            self._prepare_pass()
        return loss

    def _advance(self, closure: Callable[[], Any] | None, replay: Replay | None) -> None:
        self._check_gradients()
        if self._basis_step_is_next():
            self._begin_cycle(closure, replay)
        else:
            self.inner.step()
            self._core_steps_left = max(self._core_steps_left - 1, 0)
        self.steps_done += 1
        self._note_ranks()
        if self._ranks_before and self._core_steps_left == 0:
            self.truncate()
        self.shared.stand_at(self.steps_done, self._core_steps_left)

    def _check_gradients(self) -> None:
        """Average them over the workers, where the backward did not, and look for NaN and infinity."""
        self.shared.ensure_averaged()
        require_finite_gradients(
            self._names, self.inner.param_groups, self.steps_done + 1, self.shared.workers
        )

    @property
    def _device_type(self) -> str:
        return next(iter(self.layers.values())).core.device.type

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As of every optimiser."""
        super().zero_grad(set_to_none)
        for one_pass in self._passes.values():
            one_pass.clear()

    def _prepare_pass(self) -> None:
        """Let the next backward take the core gradient in widened bases, if the next step can use it."""
        self.shared.bases_wanted = self._basis_step_is_next()
        widens_alike = self.integrator == INTEGRATORS["augmented"]  # the layers take its step, no other
        self._armed = self.core_steps == 1 and widens_alike and self.shared.bases_wanted
        arm(self._passes, self._armed)

    def _note_ranks(self) -> None:
        self._known_ranks = {name: layer.ranks for name, layer in self.layers.items()}

    def _follow_ranks(self) -> None:
        """Take note of ranks that were set from outside between two cycles, the state moved already."""
        self.shared.level()
        self._note_ranks()
        self._prepare_pass()

    def _basis_step_is_next(self) -> bool:
        frozen = self.freeze_bases_after is not None and self.steps_done >= self.freeze_bases_after
        return self._core_steps_left == 0 and not frozen and self.steps_done % self.basis_every == 0

    def _begin_cycle(self, closure: Callable[[], Any] | None, replay: Replay | None) -> None:
        taking_part = {
            name: layer
            for name, layer in self.layers.items()
            if all(p.grad is not None for p in (layer.core, *layer.factors.values()))
        }
        if not taking_part or (not self.state and is_idle(self.inner.param_groups)):
            self.inner.step()
            return
        if closure is None and self._all_collected(taking_part):
            self._one_pass_step(taking_part)
            return
        layers = list(taking_part.values())
        if self.integrator.single_gradient:
            tuckers, gradients = inner_moves(self.inner, self.transport, layers)
            rates = [1.0] * len(layers)
        else:
            tuckers, gradients = [la.tucker for la in layers], [layer_gradients(la) for la in layers]
            rates = [rate_of(layer.core, self.inner) for layer in layers]
        steps = self.integrator.advance(tuckers, gradients, rates)
        states = [
            self._moved_state(layer, step.rotations, dict(enumerate(step.tucker.ranks)))
            for layer, step in zip(layers, steps, strict=True)
        ]
        before = None if replay is None else Snapshot(layers, self.state)
        self._ranks_before = {name: layer.ranks for name, layer in taking_part.items()}
        for layer, step, state in zip(layers, steps, states, strict=True):
            turn_frames(self.state, layer, step.rotations)
            layer.assign(step.moved())
            set_state(self.state, layer.core, state)
        if self.integrator.single_gradient:
            self._core_steps_left = self.core_steps - 1
            return
        self._core_steps_left = self.core_steps
        if replay is not None:
            assert closure is not None
            assert before is not None
            self.shared.bases_wanted = False
            try:
                with replay.second_pass(), torch.enable_grad():
                    self.zero_grad()
                    closure()
                self._check_gradients()
            except BaseException:
                before.restore()
                self._ranks_before, self._core_steps_left = {}, 0
                raise
            self._core_steps_left = 0
        # Without a replay the core gradient is not known yet, and the inner optimiser moves dense parameters only.
        self.inner.step()

    def _all_collected(self, layers: Mapping[str, FactorizedLayer]) -> bool:
        """Whether every layer that took part in the backward, on any worker, collected what a one-pass step needs."""
        missing = any(
            not self._passes[name].collected and not self.shared.lacked(layer.core)
            for name, layer in layers.items()
        )
        return self._armed and not self.shared.workers.any(missing, next(iter(layers.values())).core.device)

    def _one_pass_step(self, layers: Mapping[str, FactorizedLayer]) -> None:
        """Basis and core step with what the layers collected. New columns stay apart until :meth:`truncate`."""
        collected = collected_gradients({name: self._passes[name] for name in layers}, self.shared.workers)
        states = [
            self._moved_state(layer, {}, dict(enumerate(gradient.shape)))
            for layer, (_, gradient) in zip(layers.values(), collected, strict=True)
        ]
        self._ranks_before = {name: layer.ranks for name, layer in layers.items()}
        self._fresh = {name: fresh for name, (fresh, _) in zip(layers, collected, strict=True)}
        for (name, layer), (_, gradient), state in zip(layers.items(), collected, states, strict=True):
            replace_data(
                layer.core, pad_core(layer.core.data, dict(enumerate(gradient.shape))), layer.channels_last
            )
            set_state(self.state, layer.core, state)
            layer.core.grad = laid_out_as(layer.core, gradient)
            self._passes[name].clear()
        self._core_steps_left = self.core_steps - 1
        del collected  # the memory of the columns goes as they are used up
        try:
            self.inner.step()
        except BaseException:
            self._join_columns()
            raise

    def _join_columns(self) -> None:
        for name, fresh in self._fresh.items():
            self.layers[name].assign(with_columns(self.layers[name], fresh))
        self._fresh = {}

    @torch.inference_mode(False)  # tensors made in inference mode could never be trained again
    @torch.no_grad()
    def truncate(self) -> None:
        """End the current cycle now: cut every basis to the tolerance, so that all ranks are exact.

        Called by :meth:`step` at the end of each cycle. Call it before evaluating or saving a model in the middle of
        one; between cycles it does nothing.

        Raises:
            NonFiniteError: a core has become NaN or infinite; names the layer and step.
        """
        if self._ranks_before:
            with full_precision(self._device_type):
                self._truncate({name: self.layers[name] for name in self._ranks_before})

    def _truncate(self, layers: Mapping[str, FactorizedLayer]) -> None:
        adaptive = self.integrator.adaptive
        # Right after a basis step nothing has grown in the new directions. Cutting to the tolerance a second time
        # would only take from the old ones.
        untrained = adaptive and self._core_steps_left == self.core_steps
        before = [
            tuple(self._ranks_before[name][mode] for mode in layer.modes) for name, layer in layers.items()
        ]
        try:
            results = truncate_cores(
                [layer.core.data for layer in layers.values()],
                [layer.modes for layer in layers.values()],
                tolerance=self.current_tolerance if adaptive and not untrained else None,
                ranks=before if untrained else None,
                min_rank=self.min_rank,
                max_ranks=[self.max_ranks[name] for name in layers],
                quantum=self.rank_quantum,
                rotate=self.current_tolerance < LOOSE or self.parameter_budget is not None,
            )
            if self.current_budget is not None and not untrained:
                results = within_budget(
                    results,
                    [
                        self._shapes[name] for name in layers
                    ],  # in a one-pass step factors lack their new columns
                    [layer.modes for layer in layers.values()],
                    self.current_budget
                    - size_of(la for name, la in self.layers.items() if name not in layers),
                    min_rank=self.min_rank,
                    quantum=self.rank_quantum,
                )
            states = [
                self._moved_state(layer, {mode: rotation.mT for mode, rotation in result.bases.items()}, {})
                for layer, result in zip(layers.values(), results, strict=True)
            ]
        except NonFiniteError:
            self._join_columns()
            raise non_finite_cores(layers, self.steps_done) from None
        except BaseException:
            self._join_columns()
            raise
        norms = [layer.core.detach().norm() for layer in layers.values()]
        augmented = [layer.ranks for layer in layers.values()]
        for (name, layer), result, state in zip(layers.items(), results, states, strict=True):
            layer.assign(projected(layer, self._fresh.pop(name, {}), result))
            set_state(self.state, layer.core, state)
            turn_frames(self.state, layer, {mode: basis.mT for mode, basis in result.bases.items()})
        measured = zip(layers.items(), results, norms, augmented, strict=True)
        cuts = [
            Cut(name, layer, result, norm, wide, self._ranks_before[name])
            for (name, layer), result, norm, wide in measured
        ]
        self.records |= {record.layer: record for record in rank_records(cuts, self.steps_done, adaptive)}
        for name, layer in layers.items():
            if self.records[name].orthonormality_defect > DEFECT_IN_EPS * torch.finfo(layer.core.dtype).eps:
                layer.assign(layer.tucker.orthonormalize())
        self._ranks_before, self._core_steps_left = {}, 0
        self._note_ranks()
        self.shared.bases_wanted = self._basis_step_is_next()
        if self.on_truncation is not None:
            for name in layers:
                self.on_truncation(self.records[name])

    @property
    def current_tolerance(self) -> float:
        """The tolerance of the next truncation, warm-up considered."""
        if not self.tolerance_warmup:
            return self.tolerance
        return self.tolerance * min(1.0, self.steps_done / self.tolerance_warmup)

    @property
    def current_budget(self) -> int | None:
        """The parameter budget of the next truncation, warm-up considered."""
        return budget_at(self.steps_done, self.parameter_budget, self._first_size, self.budget_warmup)

    # -- moves of the state ----------------------------------------------------------------------------

    def _moved_state(
        self, layer: FactorizedLayer, rotations: dict[int, Tensor], ranks: dict[int, int]
    ) -> dict[str, Any] | None:
        state = self.state.get(layer.core)
        if not state:
            return None
        if rotations:
            return rotate_state(state, self.transport, layer.core, rotations)
        return pad_state(state, self.transport, layer.core, ranks)

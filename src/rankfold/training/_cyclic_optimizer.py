"""What an optimiser of cycles does beside its steps: its state in and out, copies, groups, clipping."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold.layers import FactorizedLayer
from rankfold.training._cycle_state import CYCLE_KEY, checked_cycle, described_cycle, taken_apart
from rankfold.training._setup import Turned, give_back, parameters_beside, require_no_basis
from rankfold.training._sharded import clip_gradients
from rankfold.training._workers import SharedTraining

__all__ = ["CyclicOptimizer"]


class CyclicOptimizer(Optimizer):
    """Base of :class:`rankfold.TDLRT`, which makes the steps.

    Its last group holds the bases, the others are the inner optimiser's.
    """

    model: nn.Module
    layers: Mapping[str, FactorizedLayer]
    inner: Optimizer
    shared: SharedTraining
    steps_done: int
    _core_steps_left: int
    _first_size: int
    _ranks_before: dict[str, tuple[int, ...]]
    _turned: Mapping[str, Turned]
    _ready: bool

    def _note_ranks(self) -> None:
        raise NotImplementedError

    def _prepare_pass(self) -> None:
        raise NotImplementedError

    @property
    def exact_ranks(self) -> dict[str, tuple[int, ...]]:
        """The ranks of each layer between cycles; inside one, where bases are wider, those it began with."""
        return {name: self._ranks_before.get(name, layer.ranks) for name, layer in self.layers.items()}

    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale the gradients that the inner optimiser uses, so that their joint norm is at most ``max_norm``.

        Gradients of bases carry factors of the cores and only give directions; they neither count nor change.

        Arguments:
            max_norm: largest allowed norm, over 0.

        Returns:
            The norm before.
        """
        self.shared.ensure_averaged()
        return clip_gradients((p for group in self.inner.param_groups for p in group["params"]), max_norm)

    def no_sync(self) -> AbstractContextManager[None]:
        """Context in which workers keep their gradients to themselves, to add up several before they are averaged.

        As of DistributedDataParallel, which has its own and needs no second. The last backward before a step comes
        outside; otherwise the step averages what there is.
        """
        return self.shared.no_sync()

    def state_dict(self) -> dict[str, Any]:
        """As of every optimiser, with a further entry for the cycle; plain numbers and tensors only."""
        result = super().state_dict()
        cycle = described_cycle(
            self.layers,
            self._ranks_before,
            type(self.inner).__name__,
            steps_done=self.steps_done,
            core_steps_left=self._core_steps_left,
            first_size=self._first_size,
        )
        # torch.distributed.checkpoint keeps state and groups of an optimiser and nothing beside them, and of an entry
        # that is a dictionary only the keys that the optimiser has which loads it.
        result["param_groups"][-1][CYCLE_KEY] = json.dumps(cycle)
        return {**result, CYCLE_KEY: cycle}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave. Load the model's state first, for it brings the ranks.

        Raises:
            OptimizerError: the state belongs to other layers, ranks or inner optimiser; nothing was changed.
        """
        state_dict, cycle = taken_apart(state_dict)
        cycle = checked_cycle(cycle, self.layers, type(self.inner).__name__)
        super().load_state_dict(state_dict)
        self.steps_done = cycle["steps_done"]
        if (
            self.steps_done
        ):  # else it has no moments, as where a wrapper loads a fresh state into its own optimiser
            give_back(self.layers, self._turned)
            self._turned = {}
        self._note_ranks()
        self._core_steps_left = cycle["core_steps_left"]
        self._first_size = cycle.get("first_size", self._first_size)
        self._ranks_before = {name: tuple(ranks) for name, ranks in cycle["ranks_before"].items()}
        self.shared.stand_at(self.steps_done, self._core_steps_left)
        self._prepare_pass()

    def __getstate__(self) -> dict[str, Any]:
        # As in torch, hooks stay behind, and so does the instance's `step` that learning rate schedulers wrap.
        self.shared.require_all_workers()
        left = ("step", "shared")
        kept = {key: value for key, value in self.__dict__.items() if key not in left and "_hooks" not in key}
        return kept | {"_turned": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Both optimisers look at the same groups and the same state, also after torch has replaced them.
        self.inner.param_groups = self.param_groups[:-1]
        self.inner.state = self.state
        if not hasattr(self, "shared"):  # a copy
            extra = parameters_beside(self.model, self.inner.param_groups)
            self.shared = SharedTraining(self.model, self.layers, extra=extra)
            self.shared.stand_at(self.steps_done, self._core_steps_left)
        self._prepare_pass()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add dense parameters, trained by the inner optimiser."""
        if not self._ready:
            super().add_param_group(param_group)
            return
        given = param_group["params"]
        listed: list[Any] = [given] if isinstance(given, Tensor) else list(given)
        require_no_basis(self.model, listed)
        self.inner.add_param_group({**param_group, "params": listed})
        self.shared.add(listed)
        self.param_groups.insert(-1, self.inner.param_groups[-1])

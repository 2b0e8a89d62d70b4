"""Several processes train one model: gradients are averaged at the end of each backward, all else is computed alike.

Averaging where the backward ends, as DistributedDataParallel does, lets clipping, gradient scalers and closures see
what one process would see. Bases, ranks and optimiser state are not sent: every worker computes them from the same bits
by the same program, and a checksum beside the next gradients tells if that ever fails. A mean of equal numbers changes
nothing, so that gradients which somebody averaged before cost time, not truth.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rankfold._collectives import digest, workers_of
from rankfold._errors import OptimizerError, OptionError
from rankfold.layers import FactorizedLayer
from rankfold.training._data_parallel import averaged_by, leave_out, wrappers_of
from rankfold.training._sharded import is_sharded, low_rank_parameters

__all__ = ["SharedTraining"]

# What one worker cannot do, so that no worker goes on; the header of a message carries the number.
_COMPLAINTS = (
    ("", ""),
    ("a gradient is sparse", "build the embedding with sparse=False"),
    (
        "DistributedDataParallel.join is in use, but the optimiser's own messages cannot be shadowed",
        "give all workers the same number of batches, as DistributedSampler does",
    ),
)
_SPARSE, _JOIN = 1, 2

_SHARED: "weakref.WeakSet[SharedTraining]" = weakref.WeakSet()


class SharedTraining:
    """What one optimiser shares with those of the other workers; with one process it does nothing.

    Hooks on the parameters keep it, so that every worker goes on alike until another optimiser takes its place: when
    an optimiser is collected as garbage is each process's own affair. It refers to model and parameters weakly, for
    Python does not see through hooks of tensors and would keep them for ever.

    Arguments:
        model: the model, out of its wrapper.
        layers: those over a Tucker tensor that train, by name.
        extra: further parameters that train.
        wrapper: the DistributedDataParallel that averages the dense parameters, or None.
        group: the process group; None is the wrapper's, or the default one.

    Raises:
        OptionError: what is no process group.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, FactorizedLayer],
        *,
        extra: Iterable[nn.Parameter] = (),
        wrapper: DistributedDataParallel | None = None,
        group: "dist.ProcessGroup | None" = None,
    ) -> None:
        _check_group(group)
        if group is None and wrapper is not None:
            group = wrapper.process_group
        self.workers = workers_of(group)
        #: Whether these are all workers, whom every copy finds again.
        self.all_workers = group is None or group is dist.group.WORLD
        #: Whether the next step turns or widens bases. Others have no use for gradients of factors, which are many
        #: numbers: they are not sent then, and set to None.
        self.bases_wanted = True
        self._lacking: set[int] = set()
        self._model, self._layers = weakref.ref(model), weakref.WeakValueDictionary(layers)
        self._extra = [weakref.ref(parameter) for parameter in extra]
        # Names of what the wrapper averages.
        averaged = set() if wrapper is None else averaged_by(wrapper) - low_rank_parameters(model)
        self._elsewhere = {name for name, parameter in model.named_parameters() if parameter in averaged}
        self._wrappers: weakref.WeakSet[DistributedDataParallel] = weakref.WeakSet()
        self._averaged, self._paused, self._settled = False, False, False
        self._task, self._position = -1, ""
        self._before_others = self.all_workers and not _running()
        self._handles: list[Any] = []
        self.several = self.workers.count > 1
        if self.several:
            self._take_over()

    # -- at the start ----------------------------------------------------------------------------------

    def begin(self, options: str) -> None:
        """Check that all workers built the same model, and give them parameters and buffers of the first one.

        Raises:
            OptimizerError: they did not, or a wrapper cannot do with fewer parameters.
        """
        self._adopt()
        if not self.several:
            return
        model = self._present_model
        low_rank = low_rank_parameters(model)
        sizes = [
            f"{name} {'low-rank' if parameter in low_rank else tuple(parameter.shape)} {parameter.dtype}"
            for name, parameter in model.named_parameters()
        ]
        shapes = [f"{name} {layer.weight_shape} {layer.modes}" for name, layer in self._layers.items()]
        if not self.workers.alike("\n".join([options, *sizes, *shapes]), self._device):
            raise OptimizerError(
                "TDLRT: the workers built different models or passed different options; build the same on every worker."
            )
        ranks = torch.tensor(
            [size for layer in self._layers.values() for size in layer.ranks], device=self._device
        )
        self.workers.broadcast_([ranks])
        remaining = iter(ranks.tolist())
        for layer in self._layers.values():
            layer.reserve([next(remaining) for _ in layer.ranks])
        tensors = [*model.parameters(), *model.buffers()]
        self.workers.broadcast_(tensor for tensor in tensors if not is_sharded(tensor))

    def level(self) -> None:
        """Give all workers the cores and factors of the first one, after each set ranks with its own random numbers."""
        self._adopt()
        self.workers.broadcast_(part for layer in self._layers.values() for part in layer.parts.values())

    def require_all_workers(self) -> None:
        """Raise OptimizerError for what a copy of the optimiser would not find again."""
        if not self.all_workers:
            raise OptimizerError(
                "TDLRT: an optimiser that was given a process group cannot be copied or pickled; keep its state_dict()."
            )

    # -- gradients -------------------------------------------------------------------------------------

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients add up on each worker."""
        paused, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = paused

    def ensure_averaged(self) -> None:
        """Average what no backward has averaged; called by every step.

        Raises:
            OptimizerError: the workers are not alike, or cannot go on.
        """
        if not self._settled:  # a wrapper may have come after the optimiser
            self._adopt()
            self._settled = True
        if self._before_others and _running() and dist.get_world_size() > 1:
            raise OptimizerError(
                "TDLRT: torch.distributed was started after this optimiser was made, which averages no gradients; call "
                "init_process_group first."
            )
        if self.several and not _running():
            raise OptimizerError(
                "TDLRT: this optimiser trained with other workers and torch.distributed was ended; make a new one."
            )
        if self.several and not self._averaged:
            self._average()

    def stand_at(self, *numbers: int) -> None:
        """A step is made, or a state loaded: gradients that come are new, and all workers stand at these numbers."""
        self._averaged, self._position = False, str(numbers)
        self._lacking.clear()

    def lacked(self, parameter: nn.Parameter) -> bool:
        """Whether it had no gradient here in this step and has that of other workers now."""
        return id(parameter) in self._lacking

    @torch.no_grad()
    def _average(self) -> None:
        parameters = self._shared_parameters()
        present = [parameter.grad is not None for parameter in parameters]
        complaint = _SPARSE if any(p.grad is not None and p.grad.is_sparse for p in parameters) else 0
        if any(wrapper._join_config.enable for wrapper in self._wrappers):
            complaint = _JOIN
        known = digest(
            f"{self._position} {self.bases_wanted} {[layer.ranks for layer in self._layers.values()]}"
        )
        told = torch.tensor([complaint, known, -known, *present], device=self._device)
        bits = _checksum([part for layer in self._layers.values() for part in layer.parts.values()])
        header = self.workers.largest_(torch.cat([torch.stack([bits, -bits]), told])).tolist()
        if header[2]:
            what, instead = _COMPLAINTS[header[2]]
            raise OptimizerError(f"TDLRT: on one of the workers {what}; {instead}.")
        if header[0] != -header[1] or header[3] != -header[4]:
            raise OptimizerError(
                "TDLRT: the workers no longer hold the same steps, ranks or factors; load the same checkpoint on every "
                "worker, call truncate and set_ranks on all of them, and run them on equal hardware with equal numbers "
                "of threads."
            )
        wanted = [parameter for parameter, flag in zip(parameters, header[5:], strict=True) if flag]
        if not self.bases_wanted:
            factors = {factor for layer in self._layers.values() for factor in layer.factors.values()}
            wanted = [parameter for parameter in wanted if parameter not in factors]
            for factor in factors:
                factor.grad = None
        for parameter in wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
                self._lacking.add(id(parameter))
        self.workers.mean_(parameter.grad for parameter in wanted if parameter.grad is not None)
        self._averaged = True

    def _shared_parameters(self) -> list[nn.Parameter]:
        model = self._model()
        named = [] if model is None else model.named_parameters()
        own = [parameter for name, parameter in named if name not in self._elsewhere]
        beside = [parameter for reference in self._extra if (parameter := reference()) is not None]
        return [p for p in [*own, *beside] if p.requires_grad and not is_sharded(p)]

    def add(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of these as well."""
        own = set(self._present_model.parameters())
        self._extra += [weakref.ref(parameter) for parameter in parameters if parameter not in own]

    def _take_over(self) -> None:
        """Notice every backward, in place of an earlier optimiser of these parameters."""
        parameters = self._shared_parameters()
        for other in list(_SHARED):
            if not set(parameters).isdisjoint(other._shared_parameters()):
                _remove(other._handles)
        _SHARED.add(self)
        # Bound to this object, which so lives as long as the parameters do.
        self._handles = [p.register_post_accumulate_grad_hook(self._seen) for p in parameters]

    def _seen(self, _: Tensor) -> None:
        task = torch._C._current_graph_task_id()
        if task != self._task and _running():  # the model may live on when the others are gone
            self._task = task
            _queue(self._after_backward)

    def _after_backward(self, later: int = 2) -> None:
        if self._model() is None or not self._layers:
            return  # of a model that is gone or has become dense a part lives on
        if later:
            # DistributedDataParallel waits for its messages in a callback of its own, which for a static graph another
            # callback orders. What its communication hooks send must not mix with what follows here.
            _queue(partial(self._after_backward, later - 1))
        elif self._paused or any(not wrapper.require_backward_grad_sync for wrapper in self._wrappers):
            self._averaged = False
        else:
            self._average()

    def _adopt(self) -> None:
        """Take cores and factors out of every wrapper there is."""
        low_rank = low_rank_parameters(self._present_model)
        wrappers = wrappers_of(low_rank)
        for wrapper in wrappers:
            leave_out(wrapper, low_rank)
        self._wrappers = weakref.WeakSet(wrappers)

    @property
    def _present_model(self) -> nn.Module:
        model = self._model()
        assert model is not None  # the optimiser that asks keeps it
        return model

    @property
    def _device(self) -> torch.device:
        return next(iter(self._layers.values())).core.device


def _checksum(tensors: Sequence[Tensor]) -> Tensor:
    """The bits of all tensors, added up as whole numbers, which any order of summation leaves the same."""
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return torch.stack(
        [t.detach().view(kinds[t.element_size()]).sum(dtype=torch.int64) for t in tensors]
    ).sum()


def _queue(callback: Callable[[], None]) -> None:
    """Call it at the end of the backward that runs now."""
    torch.autograd.Variable._execution_engine.queue_callback(callback)  # pyright: ignore


def _running() -> bool:
    return dist.is_available() and dist.is_initialized()


def _check_group(group: Any) -> None:
    if group is not None and not (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        raise OptionError(
            f"TDLRT: process_group must be a process group that this process is in, or None, got {group!r}; pass one "
            "of torch.distributed.new_group, or None for all processes."
        )


def _remove(handles: Iterable[Any]) -> None:
    for handle in handles:
        handle.remove()

"""DistributedDataParallel beside TDLRT: it leaves cores and factors, whose shapes change, to the optimiser.

Buckets of DistributedDataParallel have the sizes that parameters had when it was made. What it knows of cores and
factors is therefore taken out of it and the rest of its buckets made anew, whichever of the two came first.
"""

import gc
from collections.abc import Collection, Iterable
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rankfold._errors import OptimizerError

__all__ = ["averaged_by", "leave_out", "unwrapped", "wrappers_of"]


def unwrapped(model: nn.Module) -> tuple[nn.Module, DistributedDataParallel | None]:
    """The module inside of a DistributedDataParallel, and that; a model and None for any other."""
    return (model.module, model) if isinstance(model, DistributedDataParallel) else (model, None)


def averaged_by(wrapper: DistributedDataParallel) -> set[nn.Parameter]:
    """What is in the buckets of a wrapper: nothing that was frozen when they were made, even if it trains now."""
    reducer: Any = getattr(wrapper, "reducer", None)  # without, by its options, it is refused later
    buckets = [] if reducer is None else reducer._get_zeros_like_grad_buckets()
    return {parameter for bucket in buckets for parameter in bucket.parameters()}


def wrappers_of(parameters: Iterable[nn.Parameter]) -> list[DistributedDataParallel]:
    """Every DistributedDataParallel over some of these parameters.

    It leaves no mark on the module that it wraps, so it is looked for among all objects there are (some 50 ms).
    """
    if not (dist.is_available() and dist.is_initialized()):
        return []
    wanted = {id(parameter) for parameter in parameters}
    kinds = {DistributedDataParallel, *DistributedDataParallel.__subclasses__()}
    found: list[Any] = [thing for thing in gc.get_objects() if type(thing) in kinds]
    return [wrapper for wrapper in found if any(id(p) in wanted for p in wrapper.parameters())]


def leave_out(wrapper: DistributedDataParallel, parameters: Collection[nn.Parameter]) -> None:
    """Let a DistributedDataParallel average every parameter but these; call it between two backward passes.

    Raises:
        OptimizerError: nothing would be left for it, or it was made with an option that averages in ways of its own.
    """
    wanted, inside = {id(parameter) for parameter in parameters}, wrapper.module
    named = list(inside.named_parameters(remove_duplicate=False))
    names = {name for name, parameter in named if id(parameter) in wanted}
    # Its two lists of parameters name those at the root of a module differently.
    names |= {f".{name}" for name in names if "." not in name}
    known: set[str] = wrapper.parameters_to_ignore
    if names <= known:
        return
    state: Any = wrapper
    for option in ("mixed_precision", "_use_python_reducer", "_delay_all_reduce_params"):
        if getattr(state, option, None):
            raise OptimizerError(
                f"TDLRT: DistributedDataParallel was made with {option.removeprefix('_').removesuffix('_params')}, "
                "under which ranks cannot change; leave the option out, or the wrapper, which TDLRT does not need."
            )
    if not any(p.requires_grad and name not in names | known for name, p in named):
        raise OptimizerError(
            "TDLRT: DistributedDataParallel would have nothing to average but cores and factors, which TDLRT averages "
            "itself; train the model without it."
        )
    known |= names
    state._module_parameters = [p for name, p in inside.named_parameters() if name not in known]
    # As DistributedDataParallel does where it is unpickled.
    rest, sparse = state._build_params_for_reducer()
    mapping = state._build_debug_param_to_name_mapping(rest)
    state._ddp_init_helper(rest, sparse, mapping, wrapper.static_graph)
    if wrapper.static_graph:
        state._static_graph_delay_allreduce_enqueued = False
        state.reducer._set_static_graph()
    for hook, hook_state in state._comm_hooks:
        dist._register_comm_hook(state.reducer, hook_state, hook)  # pyright: ignore

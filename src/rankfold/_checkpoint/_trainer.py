"""What a file says about the optimiser and the schedule that train its model."""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rankfold._checkpoint._tree import decode, encode
from rankfold._checkpoint._words import brief, some
from rankfold._errors import CheckpointError
from rankfold.layers._resize import laid_out_as

__all__ = [
    "OPTIMIZER",
    "RUN",
    "SCHEDULER",
    "check_trainer",
    "described_optimizer",
    "described_scheduler",
    "lay_out_state",
    "taken_state",
]

#: Keys of the header. Module names have no colon as a rule, so the tensors do not meet those of the model.
OPTIMIZER, SCHEDULER, RUN = "optimizer", "scheduler", "run"


def described_optimizer(optimizer: Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Class, names of the parameters by group, and state; its tensors go to ``tensors``."""
    return {
        "class": type(optimizer).__name__,
        "parameters": _parameter_names(optimizer, model),
        "tree": encode(optimizer.state_dict(), tensors, f"{OPTIMIZER}:"),
    }


def described_scheduler(scheduler: LRScheduler, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Class and state; its tensors go to ``tensors``."""
    return {
        "class": type(scheduler).__name__,
        "tree": encode(scheduler.state_dict(), tensors, f"{SCHEDULER}:"),
    }


def taken_state(
    header: Mapping[str, Any],
    key: str,
    tensors: dict[str, Tensor],
    wanted: bool,
    path: str | os.PathLike[str],
) -> Any:
    """The state that a header describes; its tensors are taken out of the dictionary, which then holds the model's.

    Arguments:
        header: of the file.
        key: ``OPTIMIZER``, ``SCHEDULER`` or ``RUN``.
        tensors: of the file.
        wanted: whether there must be one.
        path: for the messages.

    Returns:
        The state, or None if there is none.

    Raises:
        CheckpointError: the file is damaged, or has no state where one is wanted.
    """
    described = header.get(key)
    if described is None:
        if wanted:
            raise CheckpointError(
                f"{path}: the file holds no {key}; save one with rankfold.save(model, path, {key}=...)."
            )
        return None
    if not isinstance(described, dict) or "tree" not in described:
        raise CheckpointError(
            f"{path}: the file is damaged: what it holds as {key} is none; copy or save it again."
        )
    return decode(described["tree"], tensors, path)


def check_trainer(
    described: Mapping[str, Any],
    key: str,
    given: Optimizer | LRScheduler,
    model: nn.Module,
    path: str | os.PathLike[str],
) -> None:
    """Raise CheckpointError unless a state is of the class, and an optimiser's of the parameters, that are given."""
    stored, own = described.get("class"), type(given).__name__
    if stored != own:
        raise CheckpointError(
            f"{path}: the file holds the {key} of class {brief(repr(stored), 80)}, got one of class {own!r}; "
            "build the one that was saved."
        )
    if isinstance(given, Optimizer):
        _check_parameters(described.get("parameters"), _parameter_names(given, model), path)


def lay_out_state(optimizer: Optimizer) -> None:
    """Bring what came row-major from a file into the layouts of the parameters."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = laid_out_as(parameter, value)


def _parameter_names(optimizer: Optimizer, model: nn.Module) -> list[list[str | None]]:
    """States know their parameters by number only; names tell whether the numbers mean the same."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names.get(id(parameter)) for parameter in group["params"]] for group in optimizer.param_groups]


def _check_parameters(stored: Any, own: list[list[str | None]], path: str | os.PathLike[str]) -> None:
    if stored == own:
        return
    flat = [
        {name for group in groups if isinstance(group, list) for name in group if isinstance(name, str)}
        for groups in (stored if isinstance(stored, list) else [], own)
    ]
    lacking, further = (sorted(a - b) for a, b in ((flat[0], flat[1]), (flat[1], flat[0])))
    if lacking or further:
        parts = [
            f"{count} {some([repr(name) for name in names])}"
            for count, names in (("it lacks", lacking), ("it has besides", further))
            if names
        ]
        reason = "; ".join(parts)
    else:
        reason = "their order or groups differ"
    raise CheckpointError(
        f"{path}: the optimiser trains other parameters than the saved one ({reason}); build it as it was saved."
    )

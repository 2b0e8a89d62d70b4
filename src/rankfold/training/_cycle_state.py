"""The part of an optimiser's stored state that is about the cycle, checked before anything is loaded."""

import json
from collections.abc import Mapping
from typing import Any

from rankfold._errors import OptimizerError
from rankfold.layers import FactorizedLayer

__all__ = ["CYCLE_KEY", "checked_cycle", "described_cycle", "require_known_ranks", "taken_apart"]

CYCLE_KEY = "tdlrt"


def described_cycle(
    layers: Mapping[str, FactorizedLayer],
    ranks_before: Mapping[str, tuple[int, ...]],
    inner: str,
    **numbers: int,
) -> dict[str, Any]:
    """What :func:`checked_cycle` reads, as plain numbers and words."""
    return {
        **numbers,
        "ranks_before": {name: list(ranks) for name, ranks in ranks_before.items()},
        "ranks": {name: list(layer.ranks) for name, layer in layers.items()},
        "inner": inner,
    }


def taken_apart(state_dict: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """What torch knows of an optimiser's state, and the cycle, which is beside it or, as JSON, in its last group.

    Raises:
        OptimizerError: there is no cycle.
    """
    rest = {key: value for key, value in state_dict.items() if key != CYCLE_KEY}
    groups = rest.get("param_groups") or [{}]
    cycle, written = state_dict.get(CYCLE_KEY), groups[-1].get(CYCLE_KEY)
    if cycle is None and isinstance(written, str):
        try:
            cycle = json.loads(written)
        except (ValueError, RecursionError):
            cycle = written  # damaged
    if cycle is None:
        raise OptimizerError("TDLRT: the state is not one of TDLRT; pass what TDLRT.state_dict() returned.")
    rest["param_groups"] = [{k: v for k, v in group.items() if k != CYCLE_KEY} for group in groups]
    return rest, cycle


def checked_cycle(cycle: Any, layers: Mapping[str, FactorizedLayer], inner: str) -> dict[str, Any]:
    """The stored cycle, if it belongs to these layers at the ranks they have and to an inner optimiser of this class.

    Raises:
        OptimizerError: a damaged one, or one of other layers, ranks or inner optimiser.
    """
    if not _is_cycle(cycle):
        raise OptimizerError("TDLRT: the state of the cycle is damaged; take that of another checkpoint.")
    # States written before the class was noted do not say it.
    if cycle.get("inner", inner) != inner:
        raise OptimizerError(
            f"TDLRT: the state was saved with inner optimiser {cycle['inner']}, this one has {inner}; "
            "build TDLRT with the same class."
        )
    ranks = {name: list(layer.ranks) for name, layer in layers.items()}
    if cycle["ranks"] != ranks:
        differing = [
            name for name in {**ranks, **cycle["ranks"]} if cycle["ranks"].get(name) != ranks.get(name)
        ]
        raise OptimizerError(
            f"TDLRT: the state was saved with layer {differing[0]!r} at ranks {cycle['ranks'].get(differing[0])}, "
            f"the model has {ranks.get(differing[0])}; load the model's state before the optimiser's."
        )
    return cycle


def _is_cycle(cycle: Any) -> bool:
    """Whether a value, maybe of a file, has the form of a cycle's state."""
    if not isinstance(cycle, Mapping):
        return False
    numbers = [cycle.get("steps_done"), cycle.get("core_steps_left"), cycle.get("first_size", 0)]
    tables = [cycle.get("ranks_before"), cycle.get("ranks")]
    return (
        all(type(number) is int and number >= 0 for number in numbers)
        and all(
            isinstance(table, Mapping) and all(isinstance(ranks, list | tuple) for ranks in table.values())
            for table in tables
        )
        and set(cycle["ranks_before"]) <= set(cycle["ranks"])
    )


def require_known_ranks(layers: Mapping[str, FactorizedLayer], known: Mapping[str, tuple[int, ...]]) -> None:
    """Raise OptimizerError for a layer whose ranks are not those that the optimiser left it with."""
    for name, layer in layers.items():
        if layer.ranks != known[name]:
            raise OptimizerError(
                f"TDLRT: layer {name!r} has ranks {layer.ranks}, this optimiser left it with "
                f"{known[name]}; after loading a model's state load the optimiser's of the same time, "
                "pass the optimiser to set_ranks, or make a new one."
            )

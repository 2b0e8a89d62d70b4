"""What the groups of workers run."""

from functools import partial
from typing import Any

from tests.training.distributed import events, sharded
from tests.training.distributed.group import Case
from tests.training.distributed.sharded import stored
from tests.training.distributed.training import train

__all__ = ["PAIR", "RUNS", "RUNS_OF_THREE", "STORED", "THREE", "stored"]

# Runs that several workers and one make alike: options of ``train``.
RUNS: dict[str, dict[str, Any]] = {
    "plain": {"lr": 0.5},
    "wrapped": {"way": "ddp", "last": 7},
    "wrapped later": {"way": "late", "core_steps": 1, "lr": 0.5},
    "wrapped before": {"way": "unseen", "core_steps": 1, "steps": 5},
    "one-pass, Adam": {"core_steps": 1, "inner": "Adam"},
    "one-pass, wrapped, accumulated quietly": {"core_steps": 1, "way": "ddp", "parts": 2, "no_sync": True},
    "accumulated, clipped": {"clip": 0.1, "parts": 2, "last": 5},
    "parallel, budget": {
        "core_steps": 1,
        "integrator": "parallel",
        "inner": "AdamW",
        "parameter_budget": 700,
        "parts": 2,
        "no_sync": True,
    },
    "fixed, wrapped": {"integrator": "fixed", "way": "ddp", "steps": 4},
    "closure, two gradients": {"core_steps": 1, "closure": True, "last": 7, "steps": 5},
    "unused on one worker": {
        "net": "sometimes",
        "size": 10,
        "core_steps": 1,
        "way": "ddp",
        "ddp": {"find_unused_parameters": True},
    },
    "embedding, attention, TT-matrix": {"net": "words", "core_steps": 1},
    "nothing dense": {"net": "bare"},
}
RUNS_OF_THREE: dict[str, dict[str, Any]] = {
    "plain, uneven": {"last": 7, "core_steps": 1},
    "wrapped, accumulated": {"way": "ddp", "parts": 2, "steps": 5},
    "a worker without samples": {"last": 2, "steps": 5},
}
STORED = ("Adam",)

_EVENTS: dict[str, Case] = {
    "nan": partial(events.nan_on_one, wrapped=True),
    "scaler": partial(events.scaler, wrapped=True),
    "different models": events.different_models,
    "different ranks": events.different_ranks,
    "new ranks": partial(events.new_ranks, wrapped=True),
    "apart": events.apart,
    "other bits": events.other_bits,
    "default": events.wrapped_with,
    "static graph, mean hook": partial(events.wrapped_with, hook="mean", static_graph=True),
    "refused": events.refused,
    "alone": events.alone,
    "copied": events.copied,
    "set aside": events.set_aside,
    "handed on": events.handed_on,
    "dropped": events.dropped,
    "thawed": events.thawed,
    "messages": events.messages,
    "resumed": partial(events.resumed, wrapped=True),
    "helpers": events.helpers,
    "compressed": events.compressed,
    "afterwards": events.afterwards,
    "orthogonal": events.orthogonal,
    "nan in shard": sharded.nan_in_shard,
    "refused shards": sharded.refused,
}

PAIR: dict[str, Case] = {**{name: partial(train, **run) for name, run in RUNS.items()}, **_EVENTS}
THREE: dict[str, Case] = {
    **{name: partial(train, **run) for name, run in RUNS_OF_THREE.items()},
    "nan": partial(events.nan_on_one, wrapped=False),
}

# What takes longer: every way beside every kind of step, and more of the same.
_WAYS = {
    "plain": {},
    "plain, quiet": {"parts": 3, "no_sync": True},
    "wrapped": {"way": "ddp", "parts": 2},
    "wrapped, quiet": {"way": "ddp", "parts": 3, "no_sync": True},
    "wrapped later": {"way": "late", "clip": 0.2},
    "wrapped before": {"way": "unseen", "parts": 2, "no_sync": True},
}
_STEPS = {
    **{f"augmented, core_steps={count}": {"core_steps": count} for count in (1, 2, 5)},
    "augmented, closure": {"core_steps": 1, "closure": True},
    "augmented, budget": {"core_steps": 1, "parameter_budget": 600, "budget_warmup": 4, "tolerance": 0.0},
    "parallel": {"core_steps": 1, "integrator": "parallel", "tolerance": 0.1},
    "parallel, core_steps=3": {"core_steps": 3, "integrator": "parallel", "tolerance": 0.1},
    "fixed": {"integrator": "fixed"},
}
GRID: dict[str, dict[str, Any]] = {
    f"{way}; {step}; {inner}; {net}": {**_WAYS[way], **_STEPS[step], "inner": inner, "net": net, "last": 7}
    for way in _WAYS
    for step in _STEPS
    for inner in ("SGD", "Adam")
    for net in ("conv", "words")
    if not (step == "augmented, closure" and "clip" in _WAYS[way])
}
SLOW_EVENTS: dict[str, Case] = {
    "compiled": events.compiled,
    "nan": partial(events.nan_on_one, wrapped=False),
    "scaler": partial(events.scaler, wrapped=False),
    "new ranks": partial(events.new_ranks, wrapped=False),
    "default": events.wrapped_with,
    "static graph": partial(events.wrapped_with, static_graph=True),
    "bucket view": partial(events.wrapped_with, gradient_as_bucket_view=True),
    "mean hook": partial(events.wrapped_with, hook="mean"),
    "powerSGD hook": partial(events.wrapped_with, hook="powerSGD"),
    "resumed": partial(events.resumed, wrapped=False),
}

"""Ask a policy that measures about the layers of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from rankfold.convert._calls import recorded_calls
from rankfold.convert._candidates import Candidate
from rankfold.convert._rules import children_read_as_dense
from rankfold.ranks import Fixed, LayerUse, MeasuredPolicy

__all__ = ["measured_ranks"]


def measured_ranks(
    model: nn.Module,
    candidates: Sequence[Candidate],
    policy: MeasuredPolicy,
    layer_options: Callable[[Candidate], dict[str, Any]],
) -> dict[int, tuple[int, ...]]:
    """Run the model for a policy and let it choose; a layer it keeps dense gets its reason.

    Arguments:
        model: the dense model.
        candidates: its layers; those with a reason to be left alone are not asked about.
        policy: the policy.
        layer_options: how a candidate is factorised, apart from its ranks.

    Returns:
        Ranks by the identity of the weight, for the layers to convert.
    """
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.reason is None:
            groups.setdefault(id(candidate.weight), []).append(candidate)
    layers = [candidate.module for group in groups.values() for candidate in group]
    calls = recorded_calls(model, layers, policy.example_inputs, training=policy.training)
    read = set() if policy.training else children_read_as_dense(model)
    chosen: dict[int, tuple[int, ...]] = {}
    known: list[tuple[list[Any], tuple[int, ...] | str]] = []
    for weight, group in groups.items():
        uses = [_use(c, calls[c.module], layer_options(c), policy.training) for c in group]
        if any(candidate.module in read for candidate in group):
            answer = "kept dense: in evaluation its parent reads its weight instead of calling it"
        elif not any(use.calls for use in uses):
            answer = "kept dense: the example inputs never reach it"
        else:
            # Layers that are alike are asked about once, and get the same ranks.
            alike = [_description(use) for use in uses]
            answer = next((earlier for description, earlier in known if description == alike), None)
            if answer is None:
                answer = policy.choose(uses)
                known.append((alike, answer))
        if isinstance(answer, str):
            for candidate in group:
                candidate.reason = answer
        else:
            chosen[weight] = answer
    return chosen


def _use(candidate: Candidate, calls: Any, options: dict[str, Any], training: bool) -> LayerUse:
    module, weight = candidate.module, candidate.weight
    assert weight is not None

    @torch.no_grad()
    def build(ranks: tuple[int, ...]) -> nn.Module:
        layer = candidate.rule.layer.like(module, rank=ranks, **options)
        generator = torch.Generator(weight.device).manual_seed(0)
        for parameter in (layer.core, *layer.factors.values()):
            # Numbers of a usual size: arithmetic on denormal ones is slow, and memory may hold any.
            parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
            parameter.requires_grad_(weight.requires_grad)
        return layer.train(training)

    modes = candidate.rule.layer.like(module, rank=Fixed(1), **options).modes
    return LayerUse(module, tuple(weight.shape), modes, build, calls)


def _description(use: LayerUse) -> tuple[Any, ...]:
    weight = use.module._parameters["weight"]
    assert weight is not None
    return (repr(use.module), weight.stride(), weight.dtype, weight.requires_grad, use.modes, use.calls)

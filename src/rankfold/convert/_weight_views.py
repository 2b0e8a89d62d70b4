"""Show the weights of a model to a rank policy, and check what it chooses."""

import reprlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, OptionError
from rankfold.convert._attention import joined_projections
from rankfold.convert._calls import recorded_calls
from rankfold.convert._candidates import Candidate
from rankfold.convert._truncation import Truncation
from rankfold.ranks import Call, Choice, Form, LayerUse, MeasuredPolicy, RankPolicy, WeightView

__all__ = ["Group", "choose_ranks", "layer_options", "reached", "weight_groups"]

Group = list[Candidate]


def choose_ranks(
    model: nn.Module,
    candidates: Sequence[Candidate],
    policy: RankPolicy,
    modes: tuple[int, ...] | str | None,
    truncation: Truncation,
) -> list[tuple[Group, Choice]]:
    """Ask a policy about all layers that can be converted; those that it keeps dense get its reason.

    Arguments:
        model: the dense model; run once for a policy that measures.
        candidates: its layers.
        policy: the policy.
        modes: modes of convolution weights as :func:`rankfold.factorize` takes them.
        truncation: how weights are approximated.

    Returns:
        The layers that share a weight, and how to write it, for every weight to convert.

    Raises:
        OptionError: the policy returned something else than one choice or reason per weight.
        NonFiniteError: a weight holds NaN or infinity.
    """
    groups = weight_groups(candidates)
    calls: dict[nn.Module, tuple[Call, ...]] = {}
    if isinstance(policy, MeasuredPolicy) and policy.example_inputs is not None:
        layers = [candidate.module for group in groups for candidate in group]
        calls = recorded_calls(model, layers, policy.example_inputs, training=policy.training)
        groups = reached(model, groups, calls, policy.training)
    for group in groups:
        for candidate in group:
            candidate.reason = truncation.reason(group)
    groups = [group for group in groups if group[0].reason is None]
    views = _views(model, groups, modes, truncation, calls)
    answers = _asked(policy, views)
    chosen = []
    for group, answer in zip(groups, answers, strict=True):
        if isinstance(answer, str):
            for candidate in group:
                candidate.reason = answer
        else:
            chosen.append((group, answer))
    return chosen


def _asked(policy: RankPolicy, views: list[WeightView]) -> list[Choice | str]:
    """What a policy chooses, if it is one possible answer per weight."""
    if not views:
        return []
    where, given = f"{type(policy).__name__}.choose", policy.choose(views)
    answers: list[Any] = (
        list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    )
    if len(answers) != len(views) or not all(isinstance(answer, Choice | str) for answer in answers):
        raise OptionError(
            f"{where}: got {reprlib.repr(given)} for {len(views)} weights; return one Choice, or the reason to keep it "
            "dense as a string, for each weight in the order they were given."
        )
    for view, answer in zip(views, answers, strict=True):
        if isinstance(answer, Choice) and list(answer.modes) != sorted(set(answer.modes)):
            raise OptionError(
                f"{where}: got modes {tuple(answer.modes)} for {view.name!r}; name each mode once, in increasing "
                f"order, as in {view.modes[0]}."
            )
    return answers


def _views(
    model: nn.Module,
    groups: Sequence[Group],
    modes: tuple[int, ...] | str | None,
    truncation: Truncation,
    calls: dict[nn.Module, tuple[Call, ...]],
) -> list[WeightView]:
    """One view per weight; what is expensive is computed when a policy asks for it."""
    return [_view(model, group, modes, truncation, calls) for group in groups]


def weight_groups(candidates: Sequence[Candidate]) -> list[Group]:
    """The layers that can be converted, those that share a weight together."""
    groups: dict[int, Group] = {}
    for candidate in candidates:
        if candidate.reason is None:
            groups.setdefault(id(candidate.weight), []).append(candidate)
    return list(groups.values())


def reached(
    model: nn.Module, groups: list[Group], calls: dict[nn.Module, tuple[Call, ...]], training: bool
) -> list[Group]:
    """The groups that example inputs reach; the layers of the others get the reason."""
    read = set() if training else joined_projections(model)
    found = []
    for group in groups:
        reason = None
        if any(candidate.module in read for candidate in group):
            reason = "kept dense: in evaluation its parent reads its weight instead of calling it"
        elif not any(calls[candidate.module] for candidate in group):
            reason = "kept dense: the example inputs never reach it"
        else:
            found.append(group)
        for candidate in group:
            candidate.reason = reason
    return found


def _view(
    model: nn.Module,
    group: Group,
    modes: tuple[int, ...] | str | None,
    truncation: Truncation,
    calls: dict[nn.Module, tuple[Call, ...]],
) -> WeightView:
    first = group[0]
    weight, layer = first.weight, first.rule.layer
    assert weight is not None
    incoming, outgoing = layer.channel_modes
    usual = tuple(sorted(layer.channel_modes))
    ways: tuple[tuple[int, ...], ...] = (usual,)
    if first.rule.selectable_modes:
        if modes is None:
            # One factor alone gives a matrix of outputs against the rest: two layers instead of three.
            ways = (usual, (usual[0],), (usual[1],))
        else:
            if not isinstance(modes, str) and not all(0 <= mode < weight.ndim for mode in modes):
                raise OptionError(
                    f"layer {first.names[0]!r}: got modes {tuple(modes)} for a weight of {weight.ndim} modes; pass "
                    f"numbers from 0 to {weight.ndim - 1}, or exclude the layer."
                )
            ways = (tuple(range(weight.ndim)) if isinstance(modes, str) else tuple(modes),)
    uses = tuple(_use(candidate, calls.get(candidate.module, ())) for candidate in group)
    groups = getattr(first.module, "groups", 1)
    lookups = sum(use.is_lookup for use in uses)
    # Only a dense table can clip the length of its rows.
    foldable = all(getattr(use.module, "max_norm", None) is None for use in uses)

    @cache
    def form(along: tuple[int, ...]) -> Form:
        if not bool(weight.isfinite().all()):
            raise NonFiniteError(
                f"layer {first.names[0]!r}: its weight holds NaN or infinity; mend it or exclude the layer."
            )
        return Form(
            tuple(weight.shape),
            along,
            truncation.energies(group, along),
            incoming,
            outgoing,
            groups,
            foldable=foldable,
            transposed_too=0 < lookups < len(uses),
        )

    def approximation(choice: Choice) -> Tensor:
        return truncation.tucker(group, choice).to_dense()

    return WeightView(
        name=first.names[0],
        model=model,
        weight=weight,
        modes=ways,
        uses=uses,
        form=form,
        approximation=approximation,
        calibrated=truncation.calibrated,
    )


def layer_options(candidate: Candidate, modes: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of the factorised class beside the ranks."""
    return {"modes": modes} if candidate.rule.selectable_modes else {}


def _use(candidate: Candidate, calls: tuple[Call, ...]) -> LayerUse:
    module, weight = candidate.module, candidate.weight
    assert weight is not None

    @torch.no_grad()
    def build(modes: tuple[int, ...], ranks: tuple[int, ...]) -> nn.Module:
        layer = candidate.rule.layer.like(module, rank=ranks, **layer_options(candidate, modes))
        generator = torch.Generator(weight.device).manual_seed(0)
        for parameter in (layer.core, *layer.factors.values()):
            # Numbers of a usual size: arithmetic on denormal ones is slow, and memory may hold any.
            parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
            parameter.requires_grad_(weight.requires_grad)
        return layer

    return LayerUse(module, build, calls)

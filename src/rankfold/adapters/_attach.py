"""Put adapters on the layers of a model, and take them off."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from rankfold._checks import check_generator
from rankfold._errors import NonFiniteError, OptionError
from rankfold._registry import Registry
from rankfold.adapters._adapted import AdaptedLayer, adapted_layers, require_adapted
from rankfold.adapters._attachment import AttachedLayer, Attachment
from rankfold.adapters._change import Change
from rankfold.adapters._low_rank import LowRank
from rankfold.adapters._orthogonal import Reflections, Rotations
from rankfold.adapters._stacked import StackedCUR
from rankfold.convert import Candidate, convertible
from rankfold.convert._replace import HOOKS, names_by_module, replace_module
from rankfold.convert._select import Selector, selected
from rankfold.layers import require_module

__all__ = ["ADAPTERS", "Adapter", "attach", "detach", "merge", "own_hooks", "unmerge"]


@runtime_checkable
class Adapter(Protocol):
    """A kind of adapter with its settings, a frozen dataclass of plain values."""

    #: In :data:`ADAPTERS` and in files.
    name: ClassVar[str]
    #: One line.
    summary: ClassVar[str]

    def changes(
        self, candidates: Sequence[Candidate], generator: torch.Generator | None
    ) -> list[Change | str]:
        """For each layer what changes its weight, or the reason why nothing can."""
        ...


#: The kinds of adapters by name; each entry is a class of :class:`Adapter`.
ADAPTERS: Registry[type[Adapter]] = Registry("adapter", LowRank, Rotations, Reflections, StackedCUR)  # pyright: ignore[reportArgumentType]


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def attach(
    model: nn.Module,
    adapter: Adapter | int | float = 8,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    also_train: Selector | Sequence[Selector] | None = None,
    generator: torch.Generator | None = None,
) -> Attachment:
    """Freeze a model and give its layers adapters, in place; what the model computes stays the same.

    Layers that cannot have one are left alone and listed with the reason. A weight that several layers share gets none,
    for merging it would change them all. Nothing is changed if an error is raised.

    Arguments:
        model: any module; all its parameters are frozen.
        adapter: a kind with its settings, or a number for :class:`LowRank`: a rank, or a share of the full ranks.
        include: regular expressions for whole module names, or module classes; None means every layer.
        exclude: likewise, the layers to leave alone.
        also_train: likewise, of any modules, those whose parameters stay trainable, such as a new classifier.
        generator: source of random numbers; None is torch's global one.

    Returns:
        An :class:`Attachment`: one row per layer.

    Raises:
        SelectorError: a selector that matches nothing.
        OptionError: the model has adapters already, none of the layers can have one, or a setting out of range.
        RankError: a rank that a layer does not allow.
        NonFiniteError: a weight holds NaN or infinity.

    Example:
        >>> import rankfold as rf
        >>> from rankfold import adapters
        >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> print(adapters.attach(model, 4, exclude="2"))
        layer  kind    shape  parameters  trainable  note
        0      Linear  64x64       4,096        528
        2      Linear  10x64         640          -  excluded
        1 of 2 layers adapted, 528 parameters to train beside 4,810 frozen ones (9.89%)
        >>> optimizer = rf.TDLRT(model, torch.optim.AdamW, integrator="parallel", core_steps=1, lr=1e-3)
    """
    require_module(model, "adapters.attach")
    if next(adapted_layers(model), None) is not None:
        raise OptionError(
            "adapters.attach: the model has adapters already; call adapters.detach(model) first, with merge=True to "
            "keep what they learnt."
        )
    check_generator("adapters.attach", generator)
    chosen: Any = LowRank(adapter) if isinstance(adapter, int | float) else adapter
    if isinstance(chosen, type) or not isinstance(chosen, Adapter):
        got = f"the class {chosen.__name__}" if isinstance(chosen, type) else repr(chosen)
        known = ", ".join(getattr(kind, "__name__", name) for name, kind in ADAPTERS.items())
        raise OptionError(
            f"adapters.attach: got {got} for the adapter, known are {known}; pass one with its settings, such as "
            "LowRank(8), or a rank."
        )
    candidates = convertible(model, include, exclude)
    _leave_shared_alone(candidates)
    able = [candidate for candidate in candidates if candidate.reason is None]
    _require_finite(able)
    trained = _also_trained(model, also_train)
    changes: dict[int, Change] = {}
    for candidate, change in zip(able, chosen.changes(able, generator), strict=True):
        if isinstance(change, str):
            candidate.reason = change
        else:
            change.adapter = chosen
            changes[id(candidate)] = change
    if not changes:
        reasons = sorted({f"{c.names[0]}: {c.reason}" for c in candidates})
        raise OptionError(
            "adapters.attach: no layer can have this adapter"
            + (f" ({'; '.join(reasons[:3])})" if reasons else "")
            + "; choose other layers or another adapter."
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    for candidate in able:
        if id(candidate) in changes:
            adapted = AdaptedLayer(candidate.module, changes[id(candidate)])
            replace_module(model, candidate.names, candidate.module, adapted)
            own_hooks(candidate.module)
    return _attachment(model, candidates, changes)


def detach(model: nn.Module, *, merge: bool = False) -> nn.Module:
    """Take all adapters off, in place: plain layers again, of the same classes.

    Arguments:
        model: with adapters.
        merge: keep what they learnt in the weights; otherwise the weights are as they were, bit for bit.

    Returns:
        The model; its parameters stay frozen.

    Raises:
        OptionError: the model has no adapter.

    Example:
        >>> from rankfold import adapters
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> attachment = adapters.attach(model, 2)
        >>> type(adapters.detach(model, merge=True)[0])
        <class 'torch.nn.modules.linear.Linear'>
    """
    require_module(model, "adapters.detach")
    names = names_by_module(model)
    for adapted in require_adapted(model, "detach").values():
        if merge:
            adapted.merge()
            adapted._kept = None
        else:
            adapted.unmerge()
        replace_module(model, names[adapted], adapted, adapted.base)
    return model


def merge(model: nn.Module) -> nn.Module:
    """Multiply all adapters into the weights, in place: the model runs as fast as it did without them.

    The frozen weights are kept aside, so that :func:`unmerge` brings them back bit for bit; :func:`detach` with
    ``merge=True`` drops them.

    Arguments:
        model: with adapters.

    Returns:
        The model.

    Raises:
        OptionError: the model has no adapter.
        NonFiniteError: an adapter holds NaN or infinity; nothing was merged.

    Example:
        >>> from rankfold import adapters
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> before, attachment = model[0].weight.clone(), adapters.attach(model, 2)
        >>> _ = adapters.unmerge(adapters.merge(model))
        >>> torch.equal(model[0].weight, before)
        True
    """
    found = require_adapted(model, "merge")
    for name, adapted in found.items():
        if not all(bool(parameter.isfinite().all()) for parameter in adapted.change.parameters()):
            raise NonFiniteError(
                f"adapters.merge: the adapter of {name!r} holds NaN or infinity; nothing was merged, load an earlier "
                "one."
            )
    for adapted in found.values():
        adapted.merge()
    return model


def unmerge(model: nn.Module) -> nn.Module:
    """Take all adapters out of the weights again, in place; the frozen weights come back bit for bit.

    Arguments:
        model: with adapters, merged or not.

    Returns:
        The model.

    Raises:
        OptionError: the model has no adapter.

    Example:
        See :func:`merge`.
    """
    for adapted in require_adapted(model, "unmerge").values():
        adapted.unmerge()
    return model


def _leave_shared_alone(candidates: Sequence[Candidate]) -> None:
    owners: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.reason is None:
            owners.setdefault(id(candidate.weight), []).append(candidate)
    for group in owners.values():
        for candidate in group if len(group) > 1 else ():
            other = next(one for one in group if one is not candidate)
            candidate.reason = f"shares its weight with {other.names[0]}"


def _require_finite(candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        if candidate.weight is not None and not bool(candidate.weight.isfinite().all()):
            raise NonFiniteError(
                f"adapters.attach: the weight of {candidate.names[0]!r} holds NaN or infinity; mend it or exclude the "
                "layer."
            )


def _also_trained(model: nn.Module, also_train: Selector | Sequence[Selector] | None) -> set[str]:
    """Names of the parameters that stay trainable."""
    if also_train is None:
        return set()
    modules = [(name, module) for name, module in model.named_modules() if name]
    names = selected("also_train", also_train, modules)
    return {
        name
        for name, _ in model.named_parameters()
        if any(name == module or name.startswith(f"{module}.") for module in names)
    }


def own_hooks(module: nn.Module) -> None:
    """Hooks went over to the adapted layer; the frozen one inside gets empty places of its own."""
    fresh = nn.Module()
    for attribute in HOOKS:
        setattr(module, attribute, getattr(fresh, attribute))


def _attachment(model: nn.Module, candidates: Sequence[Candidate], changes: dict[int, Change]) -> Attachment:
    rows, seen = [], set()
    for candidate in candidates:
        change, trainable = changes.get(id(candidate)), 0
        for parameter in () if change is None else change.parameters():
            trainable += 0 if id(parameter) in seen else parameter.numel()
            seen.add(id(parameter))
        weight = candidate.weight
        rows.append(
            AttachedLayer(
                name=candidate.names[0],
                kind=type(candidate.module).__name__,
                shape=() if weight is None else tuple(weight.shape),
                parameters=0 if weight is None else weight.numel(),
                trainable=trainable,
                reason=candidate.reason,
            )
        )
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    return Attachment(tuple(rows), whole - trained, trained)

"""Attention of torch is split into layers for a conversion, and put together again where nothing was converted."""

from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from rankfold.convert._encoders import settle_encoders
from rankfold.convert._replace import HOOKS, names_by_module, replace_module
from rankfold.layers import FormatLayer, SplitAttention

__all__ = [
    "attention_as_in",
    "join_attention",
    "joined_projections",
    "on_split_attention",
    "reason_not_to_split",
    "split_attention",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKED = ("in_proj_weight", "in_proj_bias")
_PARAMETERS = (*_PACKED, "q_proj_weight", "k_proj_weight", "v_proj_weight", "bias_k", "bias_v")
# Tensors that only the one or the other has, in any form of its projections.
_WHOLE = ("in_proj_weight", "q_proj_weight")
_SPLIT = ("q_proj.weight", "q_proj.core", "q_proj.core_0", "q_proj.0.weight")


_Change = tuple[list[str], nn.Module, nn.Module]


@contextmanager
def split_attention(model: nn.Module) -> Iterator[None]:
    """While the block runs, the projections of ``nn.MultiheadAttention`` are layers that can be replaced.

    At its end attention in which no projection was factorised is put back, and all of it if an error is raised.
    What cannot be split is left as it is.
    """
    changes: list[_Change] = [(names, old, SplitAttention(old)) for names, old in _that_can_be_split(model)]
    with _exchanged(
        model, changes, lambda new: any(isinstance(part, FormatLayer) for part in new.children())
    ):
        yield


def on_split_attention(convert: Function) -> Function:
    """Run a function of a model inside :func:`split_attention`."""

    @wraps(convert)
    def run(model: nn.Module, *arguments: Any, **options: Any) -> Any:
        with split_attention(model):
            return convert(model, *arguments, **options)

    return cast(Function, run)


@contextmanager
def attention_as_in(model: nn.Module, names: Container[str]) -> Iterator[bool]:
    """Split or join attention so that it has the tensors that a state names; undone if the block raises an error.

    Arguments:
        model: any module.
        names: of a state dictionary.

    Returns:
        A context manager that gives whether there was anything to do.
    """

    def has(aliases: list[str], parts: tuple[str, ...]) -> bool:
        return any(f"{alias}.{part}" in names for alias in aliases for part in parts)

    changes: list[_Change] = [
        (aliases, old, SplitAttention(old))
        for aliases, old in _that_can_be_split(model)
        if has(aliases, _SPLIT)
    ]
    changes += [
        (aliases, old, old.dense())
        for old, aliases in names_by_module(model).items()
        if isinstance(old, SplitAttention)
        and "" not in aliases
        and has(aliases, _WHOLE)
        and not _has_chains(old)
    ]
    with _exchanged(model, changes, lambda new: True):
        yield bool(changes)


def join_attention(model: nn.Module) -> nn.Module:
    """Put attention together again, in place, wherever all four projections are plain linear layers.

    Returns:
        The model; plain attention if the model itself is a split one.
    """
    changes: list[_Change] = []
    for split, names in names_by_module(model).items():
        if not isinstance(split, SplitAttention) or any(
            type(part) is not nn.Linear for part in split.projections
        ):
            continue
        if "" in names:
            return split.dense()
        changes.append((names, split, split.dense()))
    with _exchanged(model, changes, lambda new: True):
        return model


def joined_projections(model: nn.Module) -> set[nn.Module]:
    """The projections of split attention none of which is factorised: it is about to be put together again."""
    parts = [module.projections for module in model.modules() if isinstance(module, SplitAttention)]
    return {part for four in parts if all(type(part) is nn.Linear for part in four) for part in four}


def reason_not_to_split(attention: nn.MultiheadAttention) -> str | None:
    """Why the projections of attention cannot become layers of their own without changing what it computes."""
    output = attention.out_proj
    if type(attention) is not nn.MultiheadAttention:
        return f"{type(attention).__name__} is a subclass that may compute something else"
    if type(output) not in (NonDynamicallyQuantizableLinear, nn.Linear):
        return f"its output projection is of class {type(output).__name__}"
    for module, expected in ((attention, {*_PARAMETERS, "out_proj"}), (output, {"weight", "bias"})):
        if "forward" in vars(module):
            return "a forward was replaced on the instance"
        further = {*module._parameters, *module._buffers, *module._modules} - expected
        if further:
            return f"it holds {sorted(further)[0]!r}"
    if any(getattr(output, hooks) for hooks in HOOKS):
        return "its output projection has hooks, which it never calls"
    return None


def _that_can_be_split(model: nn.Module) -> list[tuple[list[str], nn.MultiheadAttention]]:
    """Attention by its names; packed weights that something else holds too cannot be taken apart."""
    owners = Counter(id(parameter) for module in model.modules() for parameter in module._parameters.values())
    found = []
    for module, names in names_by_module(model).items():
        if isinstance(module, nn.MultiheadAttention) and "" not in names and not reason_not_to_split(module):
            packed = [module._parameters[name] for name in _PACKED]
            if all(parameter is None or owners[id(parameter)] == 1 for parameter in packed):
                found.append((names, module))
    return found


@contextmanager
def _exchanged(model: nn.Module, changes: list[_Change], keep: Callable[[nn.Module], bool]) -> Iterator[None]:
    """Put modules in the place of others; undone for those not to keep, and for all if the block raises an error."""
    for names, old, new in changes:
        replace_module(model, names, old, new)
    settle_encoders(model)
    done = False
    try:
        yield
        done = True
    finally:
        for names, old, new in changes:
            if not (done and keep(new)):
                replace_module(model, names, new, old)
            elif isinstance(new, SplitAttention):
                new.detach_memory()
        settle_encoders(model)


def _has_chains(split: SplitAttention) -> bool:
    return not all(isinstance(part, nn.Linear | FormatLayer) for part in split.projections)

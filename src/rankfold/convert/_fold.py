"""Factorised layers of a model -> plain ``nn`` layers, in a copy."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from rankfold.convert._attention import join_attention
from rankfold.convert._calls import recorded_calls
from rankfold.convert._fastest import FastestForm
from rankfold.convert._replace import names_by_module, replace_module
from rankfold.layers import FactorizedLayer, FormatLayer, require_module

__all__ = ["densify", "factorized_layers", "fold", "fold_in_place"]


def factorized_layers(model: nn.Module) -> Iterator[tuple[str, FactorizedLayer]]:
    """The layers over a Tucker tensor in a model by name; of layers that share their weight only the first."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, FactorizedLayer) and id(module.core) not in seen:
            seen.add(id(module.core))
            yield name, module


def fold(model: nn.Module, *, example_inputs: Any = None) -> nn.Module:
    """Copy a model with every factorised layer written as plain ``nn`` layers of the same function.

    Each layer becomes the chain of plain layers with the fewest parameters: factors are absorbed into the core
    where that saves, down to one dense layer where low rank saves nothing. A TT-matrix becomes one dense layer, for
    no chain of ``nn`` layers contracts it. With example inputs it becomes what
    is fastest on this machine instead: the dense layer, unless a chain is measurably faster on what the layer is
    given. The result neither needs nor imports this library, except for one module: ``nn.MultiheadAttention`` has
    no room for chains, so attention with a factorised projection stays a :class:`rankfold.layers.SplitAttention`
    of plain layers, and a pickled model needs this library for that class (what torch.export makes of it does
    not). Layers that share their weight go on sharing what is equal in their chains. An
    ``nn.TransformerEncoderLayer`` with chains calls its parts in evaluation too, where torch else has a fused
    kernel for them.

    Arguments:
        model: any module; it is not changed.
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model, of the
            size, memory format and device that it will be used with. The model is run once on them, and the
            forms of each layer are timed, for a tenth of a second or more a layer. A layer that they never
            reach becomes the smallest form.

    Returns:
        The copy; a plain ``nn`` module if ``model`` itself is a factorised layer.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
        >>> from rankfold.convert import factorize
        >>> _ = factorize(model, 5)
        >>> [type(module).__name__ for module in fold(model)[0]]
        ['Linear', 'Linear']
    """
    require_module(model, "fold")
    result = copy.deepcopy(model)
    if example_inputs is None:
        return _replaced(result, lambda layer: layer.folded(), smallest=True)
    layers = [module for module in result.modules() if isinstance(module, FormatLayer)]
    calls, fastest = recorded_calls(result, layers, example_inputs), FastestForm()
    return _replaced(
        result, lambda layer: fastest(layer, calls[layer]) if calls[layer] else layer.folded(), smallest=False
    )


def fold_in_place(model: nn.Module) -> None:
    """:func:`fold` without the copy: the model itself gets the plain layers with the fewest parameters."""
    _replaced(model, lambda layer: layer.folded(), smallest=True)


def densify(model: nn.Module) -> nn.Module:
    """Copy a model with every factorised layer multiplied out to the one dense layer it came from.

    Attention that was split into its projections is ``nn.MultiheadAttention`` again, and encoder layers of torch
    take their fused kernel again.

    Arguments:
        model: any module; it is not changed.

    Returns:
        The copy; weights that layers share stay shared.

    Example:
        >>> from torch import nn
        >>> from rankfold.convert import factorize
        >>> model = nn.Sequential(nn.Linear(100, 50))
        >>> _ = factorize(model, 5)
        >>> densify(model)
        Sequential(
          (0): Linear(in_features=100, out_features=50, bias=True)
        )
    """
    require_module(model, "densify")
    return _replaced(copy.deepcopy(model), lambda layer: layer.dense(), smallest=True)


def _replaced(
    model: nn.Module, plain_form: Callable[[FormatLayer], nn.Module], *, smallest: bool
) -> nn.Module:
    names = names_by_module(model)
    groups: dict[int, list[FormatLayer]] = {}
    for module in names:
        if isinstance(module, FormatLayer):
            groups.setdefault(id(module.leading), []).append(module)
    for layers in groups.values():
        plain = [plain_form(layer) for layer in layers]
        _share_weights(plain)
        if smallest and len(layers) > 1:  # chains of different classes share less than dense layers do
            dense = [layer.dense() for layer in layers]
            _share_weights(dense)
            plain = min(dense, plain, key=_size)
        for layer, module in zip(layers, plain, strict=True):
            if "" in names[layer]:
                return module
            replace_module(model, names[layer], layer, module)
    return join_attention(model)


def _share_weights(modules: list[nn.Module]) -> None:
    """Make one parameter of the equal weights of different modules, all made from one factorised weight."""
    earlier: list[nn.Parameter] = []
    for module in modules:
        own = []
        for name, parameter in list(module.named_parameters()):
            path, _, attribute = name.rpartition(".")
            if attribute == "weight":
                shared = next((weight for weight in earlier if torch.equal(weight, parameter)), parameter)
                module.get_submodule(path).register_parameter("weight", shared)
                own.append(shared)
        earlier += own


def _size(modules: list[nn.Module]) -> int:
    return sum(parameter.numel() for parameter in nn.ModuleList(modules).parameters())

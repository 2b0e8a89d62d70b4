"""Factorised layers of a model -> plain ``nn`` layers, in a copy."""

import copy
from collections.abc import Callable, Iterator

from torch import nn

from rankfold.convert._replace import names_by_module, replace_module
from rankfold.layers import FactorizedLayer

__all__ = ["densify", "factorized_layers", "fold"]


def factorized_layers(model: nn.Module) -> Iterator[tuple[str, FactorizedLayer]]:
    """The factorised layers of a model by name; of layers that share their weight only the first."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, FactorizedLayer) and id(module.core) not in seen:
            seen.add(id(module.core))
            yield name, module


def fold(model: nn.Module) -> nn.Module:
    """Copy a model with every factorised layer written as plain ``nn`` layers of the same function.

    Each layer becomes the chain of plain layers with the fewest parameters: factors are absorbed into the core
    where that saves, down to one dense layer where low rank saves nothing. The result neither needs nor
    imports this library. Layers of one class that share their weight go on sharing it.

    Arguments:
        model: any module; it is not changed.

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
    return _transformed(model, lambda layer: layer.folded(), same_class_only=True)


def densify(model: nn.Module) -> nn.Module:
    """Copy a model with every factorised layer multiplied out to the one dense layer it came from.

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
    return _transformed(model, lambda layer: layer.dense(), same_class_only=False)


def _transformed(
    model: nn.Module, transform: Callable[[FactorizedLayer], nn.Module], *, same_class_only: bool
) -> nn.Module:
    result = copy.deepcopy(model)
    made: dict[tuple[int, type | None], nn.Module] = {}
    for module, names in names_by_module(result).items():
        if not isinstance(module, FactorizedLayer):
            continue
        plain = transform(module)
        first = made.setdefault((id(module.core), type(module) if same_class_only else None), plain)
        if first is not plain:
            _share_weights(first, plain)
        if "" in names:
            return plain
        replace_module(result, names, module, plain)
    return result


def _share_weights(first: nn.Module, second: nn.Module) -> None:
    sources = dict(first.named_parameters())
    for name, _ in list(second.named_parameters()):
        path, _, attribute = name.rpartition(".")
        if attribute == "weight":
            second.get_submodule(path).register_parameter("weight", sources[name])

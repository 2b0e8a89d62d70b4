"""The layers of a model whose weight can be written in another way: a matrix, table or kernel of their own."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from rankfold._errors import OptionError
from rankfold.convert._select import Selector, selected
from rankfold.layers import FormatLayer, require_module

__all__ = ["plain_layers"]


def plain_layers(
    where: str,
    model: nn.Module,
    include: Selector | Sequence[Selector] | None,
    exclude: Selector | Sequence[Selector] | None,
    holds: Callable[[Tensor], bool] = lambda weight: True,
) -> dict[str, nn.Module]:
    """Layers by name, in the order of the model; factorised ones and computed weights are none of them.

    Arguments:
        where: name of the function, for the messages.
        model: any module.
        include: regular expressions for whole module names, or module classes; None means every layer.
        exclude: likewise, the layers to leave alone.
        holds: whether a weight is of the kind that is meant.

    Raises:
        SelectorError: a selector that matches no layer.
        OptionError: no layer at all, or a weight that several modules share.
    """
    require_module(model, where)
    layers = {name: module for name, module in model.named_modules() if _has_own_weight(module, holds)}
    named = list(layers.items())
    wanted = set(layers) if include is None else selected("include", include, named)
    wanted -= set() if exclude is None else selected("exclude", exclude, named)
    if not wanted:
        raise OptionError(
            f"{where}: the model has no layer with a fitting weight of its own, which factorised layers and computed "
            "weights do not have; pass one that does."
        )
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for name in wanted:
        shared = owners[id(layers[name]._parameters["weight"])]
        if len(shared) > 1:
            raise OptionError(
                f"{where}: {shared[0]!r} and {shared[1]!r} are one parameter, which cannot be written in another "
                "way in one place only; exclude these layers."
            )
    return {name: layer for name, layer in layers.items() if name in wanted}


def _has_own_weight(module: nn.Module, holds: Callable[[Tensor], bool]) -> bool:
    weight = module._parameters.get("weight")
    return (
        weight is not None
        and not isinstance(module, FormatLayer | parametrize.ParametrizationList)
        and not isinstance(weight, UninitializedParameter)
        and weight.ndim >= 2
        and weight.is_floating_point()
        and weight.numel() > 0
        and holds(weight)
    )

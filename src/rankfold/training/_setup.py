"""What TDLRT makes of a model before its first step: layers, groups, and the form of the factors."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold._errors import OptimizerError
from rankfold.convert import factorized_layers
from rankfold.formats import Tucker, checked_ranks
from rankfold.layers import FactorizedLayer, TTMatrixLayer
from rankfold.ranks import Fraction, RankPolicy, as_rule
from rankfold.training._sharded import local

__all__ = [
    "DEFECT_IN_EPS",
    "LOOSE",
    "Turned",
    "bring_to_form",
    "give_back",
    "inner_groups",
    "is_idle",
    "largest_ranks",
    "parameters_beside",
    "rate_of",
    "require_no_basis",
    "trainable_layers",
]

# The product of two bases that are orthonormal to rounding is so again, but the rounding adds up over
# thousands of truncations; at this many eps a factor is orthonormalised anew, well before 1e-5 in float32.
DEFECT_IN_EPS = 30

# With a tolerance tau every row that a truncation keeps is at least tau / sqrt(d n) of the largest, for d modes of size
# n: at 0.01 above 2e-4 even for n = 1024. Basis gradients then keep digits enough, and cores need not be made
# all-orthogonal again after the cut.
LOOSE = 1e-2


def trainable_layers(model: nn.Module) -> dict[str, FactorizedLayer]:
    """The layers over a Tucker tensor whose parts all train.

    Raises:
        OptimizerError: there is none, or the core of one is computed.
    """
    for name, layer in factorized_layers(model):
        if layer.computed:
            raise OptimizerError(
                f"TDLRT: the core of layer {name!r} is computed by a parametrisation, such as gates, and a change of "
                "basis would take its coordinates from it; collapse it first, or use GatedRank(balanced=True)."
            )
    layers = {
        name: layer
        for name, layer in factorized_layers(model)
        if all(parameter.requires_grad for parameter in (layer.core, *layer.factors.values()))
    }
    if not layers and any(isinstance(module, TTMatrixLayer) for module in model.modules()):
        raise OptimizerError(
            "TDLRT: the model has layers over TT-matrices but none over a Tucker tensor to train along its manifold; "
            "train it with any other optimiser, or call rankfold.factorize(model) on further layers first."
        )
    if not layers:
        raise OptimizerError(
            "TDLRT: the model has no factorised layer to train; call rankfold.factorize(model) first."
        )
    return layers


def inner_groups(model: nn.Module, param_groups: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Groups without bases; by default one with everything that is trained."""
    bases = {id(factor) for _, layer in factorized_layers(model) for factor in layer.factors.values()}
    if param_groups is None:
        param_groups = [
            {"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}
        ]
    groups = []
    for group in param_groups:
        given = group["params"]
        listed = [given] if isinstance(given, Tensor) else list(given)
        parameters = [
            entry[1] if isinstance(entry, tuple) else entry for entry in listed
        ]  # (name, parameter)
        groups.append({**group, "params": [p for p in parameters if id(p) not in bases]})
    listed = {id(parameter) for group in groups for parameter in group["params"]}
    missing = [
        name
        for name, layer in factorized_layers(model)
        if layer.core.requires_grad and id(layer.core) not in listed
    ]
    if missing:
        raise OptimizerError(
            f"TDLRT: param_groups lack the core of {missing[0]!r}; "
            "list it, or freeze the layer with requires_grad_(False)."
        )
    return groups


def parameters_beside(model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> list[nn.Parameter]:
    """Parameters in groups that are not the model's, such as those of a loss."""
    own = {id(parameter) for parameter in model.parameters()}
    return [parameter for group in groups for parameter in group["params"] if id(parameter) not in own]


def require_no_basis(model: nn.Module, parameters: Iterable[Any]) -> None:
    """Raise OptimizerError if a basis is among parameters that are to be added."""
    bases = {id(factor) for _, layer in factorized_layers(model) for factor in layer.factors.values()}
    if any(id(parameter) in bases for parameter in parameters):
        raise OptimizerError("TDLRT.add_param_group: got a basis; bases are turned by TDLRT, leave them out.")


def rate_of(core: Tensor, inner: Optimizer) -> float:
    """Step length along the negative gradient, from the group that trains a core."""
    group = next(g for g in inner.param_groups if any(p is core for p in g["params"]))
    return -float(group["lr"]) if group.get("maximize") else float(group["lr"])


def is_idle(groups: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a step would go nowhere along no gradient, as torch.distributed.checkpoint makes one to see the state."""
    groups = list(groups)
    return all(group.get("lr") == 0 for group in groups) and not any(
        parameter.grad is not None and bool(local(parameter.grad).any())
        for group in groups
        for parameter in group["params"]
    )


def largest_ranks(
    layers: Mapping[str, FactorizedLayer], max_rank: RankPolicy | int | float | None
) -> dict[str, tuple[int, ...]]:
    """The rank of each factorised mode that no truncation exceeds, by layer."""
    policy = as_rule("TDLRT: max_rank", Fraction(1.0) if max_rank is None else max_rank)
    return {
        name: checked_ranks(
            f"TDLRT: max_rank of {name!r}",
            policy(layer.weight_shape, layer.modes),
            layer.weight_shape,
            layer.modes,
        )
        for name, layer in layers.items()
    }


class Turned(NamedTuple):
    """A layer that was brought to form.

    Arguments:
        given: its weight before.
        now: where its tensors lie since, and in which version.
    """

    given: Tucker
    now: tuple[tuple[int, int], ...]


@torch.no_grad()
def bring_to_form(layers: Mapping[str, FactorizedLayer]) -> dict[str, Turned]:
    """Orthonormal bases and cores in HOSVD form, where they are not so already; a resumed model stays bit for bit.

    Returns:
        The layers that were changed.
    """
    turned = {}
    for name, layer in layers.items():
        tucker = layer.tucker
        eps = torch.finfo(layer.core.dtype).eps
        if float(tucker.orthonormality_defect()) > DEFECT_IN_EPS * eps or not tucker.is_rotated():
            given = Tucker(tucker.core.data, tuple(f if f is None else f.data for f in tucker.factors))
            layer.assign(tucker.rotate())
            turned[name] = Turned(given, _places(layer))
    return turned


@torch.no_grad()
def give_back(layers: Mapping[str, FactorizedLayer], turned: Mapping[str, Turned]) -> None:
    """Undo :func:`bring_to_form` for a stored state, whose moments lie in the coordinates that the weights came in.

    Layers whose tensors have changed since stay as they are.
    """
    for name, (given, now) in turned.items():
        if _places(layers[name]) == now:
            layers[name].assign(given)


def _places(layer: FactorizedLayer) -> tuple[tuple[int, int], ...]:
    return tuple((part.data_ptr(), part._version) for part in layer.parts.values())

"""Layers of a model -> the same layers with a fixed weight that a learned orthogonal matrix turns, in place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from rankfold._errors import NonFiniteError, OptionError
from rankfold.convert._replace import names_by_module
from rankfold.convert._select import Selector, selected
from rankfold.layers import NeuronLayout, OrthogonalWeight, neuron_layout, require_module
from rankfold.linalg import ORTHOGONAL_MAPS

__all__ = ["OrthogonalizedLayer", "orthogonalize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthogonalizedLayer:
    """One row: a layer whose weight is turned by an orthogonal matrix, or the reason why it was left alone.

    Arguments:
        name: path of the module in the model.
        kind: name of its class.
        size: rows of its orthogonal matrix, or None where the layer was left alone.
        reason: why it was left alone, or None.
    """

    name: str
    kind: str
    size: int | None = None
    reason: str | None = None


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def orthogonalize(
    model: nn.Module,
    map: str = "cayley",
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    block: float | None = None,
    generator: torch.Generator | None = None,
) -> tuple[OrthogonalizedLayer, ...]:
    """Train orthogonal matrices instead of weights: each weight becomes ``R V``, its present value V fixed, in place.

    At the start every R is the identity, and no output changes beyond rounding. Make the optimiser after this: the
    parameter of a weight now holds the free matrix of R, of another shape. Biases and all other parameters are
    trained as before. The paper draws V from a Gaussian; here V is what the layer holds, new or trained.
    :func:`rankfold.layers.merge_orthogonal` gives plain layers back.

    R costs O(D³) per forward pass and D² numbers, D the fan-in per group: more than the layer itself where it has
    fewer outputs than D.

    Converted are linear layers and convolutions, transposed or not, in any number of dimensions and groups, and their
    subclasses. The hyperspherical energy of the neurons of each stays as it is.

    Arguments:
        model: any module.
        map: how R comes from a free matrix, a name in :data:`rankfold.linalg.ORTHOGONAL_MAPS`. With ``direct`` R is the
            parameter itself: train it with :class:`rankfold.training.OrthogonalDescent`, or add
            :func:`rankfold.training.orthogonality_penalty` to the loss.
        include: regular expressions for whole module names, or module classes; None means every layer.
        exclude: likewise, the layers to leave alone.
        block: share in (0, 1] of the D coordinates, drawn at random, that R turns while it leaves the rest alone, at
            least 2 of them; :func:`rankfold.layers.redraw_blocks` draws again. None turns all.
        generator: source of the coordinates; None is torch's global one.

    Returns:
        One row per layer that has a weight matrix, with the size of R or the reason it was left alone.

    Raises:
        SelectorError: a selector that matches no layer.
        OptionError: unknown map, or a block outside (0, 1].
        NonFiniteError: a weight holds NaN or infinity; nothing was changed.

    Reference:
        Liu et al. 2021, "Orthogonal Over-Parameterized Training".

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Embedding(8, 4))
        >>> for row in orthogonalize(model):
        ...     print(row.name, row.kind, row.size, row.reason)
        0 Conv2d 27 None
        2 Embedding None its rows are looked up: the fan-in is the number of rows, too many to turn
    """
    require_module(model, "orthogonalize")
    if block is not None and (
        isinstance(block, bool) or not isinstance(block, int | float) or not 0 < block <= 1
    ):
        raise OptionError(
            f"orthogonalize: block must be None or a share in (0, 1], got {block!r}; 0.25 is the paper's."
        )
    record = ORTHOGONAL_MAPS[map]
    names = {module: aliases for module, aliases in names_by_module(model).items() if _has_matrix(module)}
    named = [(name, module) for module, aliases in names.items() for name in aliases]
    wanted = None if include is None else selected("include", include, named)
    unwanted = set() if exclude is None else selected("exclude", exclude, named)
    owners = _owners(model)
    rows: list[OrthogonalizedLayer] = []
    parametrisations: list[tuple[nn.Module, OrthogonalWeight]] = []
    for module, aliases in names.items():
        name, kind = aliases[0], parametrize.type_before_parametrizations(module).__name__
        if wanted is not None and not wanted & set(aliases):
            answer = "not included"
        elif unwanted & set(aliases):
            answer = "excluded"
        else:
            answer = _layout_or_reason(module, name, record.name, owners)
        if isinstance(answer, str):
            rows.append(OrthogonalizedLayer(name=name, kind=kind, reason=answer))
            continue
        size = answer.fan_in if block is None else min(answer.fan_in, max(2, round(block * answer.fan_in)))
        drawn = None if block is None else size
        weight = OrthogonalWeight(answer, record.name, block=drawn, generator=generator)
        parametrisations.append((module, weight))
        rows.append(OrthogonalizedLayer(name=name, kind=kind, size=size))
    for module, weight in parametrisations:
        module._parameters["weight"].grad = None  # pyright: ignore[reportOptionalMemberAccess]
        weight.train(module.training)
        parametrize.register_parametrization(module, "weight", weight)
    return tuple(rows)


def _has_matrix(module: nn.Module) -> bool:
    """Whether a module has a weight of its own that someone could mean."""
    if isinstance(module, parametrize.ParametrizationList):
        return False
    return parametrize.is_parametrized(module) or any(
        isinstance(parameter, UninitializedParameter) or parameter.ndim >= 2
        for parameter in module.parameters(recurse=False)
    )


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """The modules that hold each parameter, by its identity."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(name)
    return owners


def _layout_or_reason(
    module: nn.Module, name: str, map: str, owners: dict[int, list[str]]
) -> NeuronLayout | str:
    """Where the neurons of a layer are, or why it must be left alone."""
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters(recurse=False)):
        return "not initialised yet: run one forward pass first"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "its rows are looked up: the fan-in is the number of rows, too many to turn"
    if parametrize.is_parametrized(module, "weight") or module._parameters.get("weight") is None:
        return "its weight is computed by a parametrisation, or it has none of this name"
    layout, weight = neuron_layout(module), module._parameters["weight"]
    assert weight is not None
    if layout is None:
        return f"{type(module).__name__} is neither a linear layer nor a convolution"
    if weight.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return f"weights of dtype {weight.dtype} are not supported"
    if weight.device.type == "meta" or weight.numel() == 0:
        return "its weight holds no data"
    if weight.is_inference():
        return "was made in inference mode, and can never be trained"
    if layout.fan_in == 1:
        return "its fan-in is 1, where there is nothing to turn"
    if map == "direct" and weight.dtype in (torch.float16, torch.bfloat16):
        return f"no orthogonal matrix can be held in {weight.dtype}: choose another map"
    others = [other for other in owners[id(weight)] if other != name]
    if others:
        return f"shares its weight with {others[0]}"
    if not bool(weight.isfinite().all()):
        raise NonFiniteError(
            f"orthogonalize: the weight of {name!r} holds NaN or infinity; nothing was changed, mend or exclude it."
        )
    return layout

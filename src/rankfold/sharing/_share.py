"""Let layers over TT-matrices use one central core."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.convert._attention import on_split_attention
from rankfold.convert._candidates import Candidate, convertible
from rankfold.convert._encoders import settle_encoders
from rankfold.convert._replace import replace_module
from rankfold.convert._rules import TT_MATRIX_RULES
from rankfold.formats import full_bonds
from rankfold.layers import TTMatrixLinear, require_module
from rankfold.layers._tt_matrix_layer import CORES, BondsLike

__all__ = ["SharedCore", "described", "share_cores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCore:
    """Layers that share a core.

    Arguments:
        names: of the layers.
        core: number of the core that is theirs together, from 0.
        ranks: of each layer.
        parameters: of all these weights together, the shared core counted once; biases apart.
        parameters_unshared: of as many TT-matrices that share nothing.
        parameters_dense: of the dense weights.
        errors: for each layer how far sharing moved its weight, relative to its norm; None where that is not known.
    """

    names: tuple[str, ...]
    core: int
    ranks: tuple[int, ...]
    parameters: int
    parameters_unshared: int
    parameters_dense: int
    errors: tuple[float, ...] | None = None


def share_cores(
    model: nn.Module,
    names: Sequence[str],
    *,
    core: int | None = None,
    rank: BondsLike = full_bonds,
    cores: int = CORES,
    out_sizes: Sequence[int] | None = None,
    in_sizes: Sequence[int] | None = None,
) -> SharedCore:
    """Give layers of one shape one central core, in place; their other cores and their biases stay their own.

    At full bonds the central core has as many numbers as the dense weight, and the cores beside it are small: layer l
    multiplies by ``L_l C R_l`` with bases of its own, so a stack of layers costs little more than one. The core becomes
    one parameter: its gradient is the sum over the layers, and :func:`rankfold.save` writes it once. Everything that
    trains :class:`rankfold.layers.TTMatrixLinear` layers trains these, :class:`rankfold.TDLRT` by its inner optimiser.

    All layers take the core of the first. Layers that are equal compute the same as before; from others it takes what
    they learned, so share at the beginning of training, among layers that begin equal, or train on afterwards.

    Make the optimiser after this. A file of :func:`rankfold.save` loads into a model of layers shared in the same way;
    where it is loaded into a dense model, call this again, which changes nothing then.

    Arguments:
        model: any module.
        names: of two layers or more, each an ``nn.Linear``, which is converted by TT-SVD, or a TTMatrixLinear, which
            stays what it is. Several calls make several groups.
        core: number of the core to share, from 1; None is the one in the middle, ``d // 2`` of d. The first core, by
            which layers are told apart, cannot be shared.
        rank, cores, out_sizes, in_sizes: of the layers that are converted, as of TTMatrixLinear; full bonds are exact.

    Returns:
        What is shared, and what it saves.

    Raises:
        OptionError: fewer than two layers, a name that is no such layer, a layer that shares a core already or cannot
            be converted, or a core that there is not.
        ShapeError: layers of different sizes, ranks, dtypes or devices.
        NonFiniteError: a weight holds NaN or infinity. Nothing is changed if an error is raised.

    Reference:
        Liu, Gao, Chen, Zhao, Wen 2023, "Scaling pre-trained language models to deeper via parameter-efficient
        architecture".

    Example:
        >>> model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(6)))
        >>> shared = share_cores(model, [str(number) for number in range(6)])
        >>> shared.parameters, shared.parameters_dense
        (7168, 24576)
        >>> model[0].core_1 is model[5].core_1
        True
    """
    require_module(model, "share_cores")
    sizes = {"cores": cores, "out_sizes": out_sizes, "in_sizes": in_sizes}
    return _shared(model, names, core, {"rank": rank, **sizes})


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
@on_split_attention
def _shared(model: nn.Module, names: Sequence[str], core: int | None, options: dict[str, Any]) -> SharedCore:
    layers = _named(model, names)
    candidates = _convertible(model, names, layers)
    result: list[TTMatrixLinear] = []
    for name, layer in zip(names, layers, strict=True):
        if isinstance(layer, TTMatrixLinear):
            result.append(layer)
            continue
        if not bool(layer.weight.isfinite().all()):
            raise NonFiniteError(
                f"share_cores: the weight of layer {name!r} holds NaN or infinity; mend it or leave the layer out."
            )
        result.append(TTMatrixLinear.from_dense(layer, **options))
    first, place = result[0], _place(result[0], core)
    for name, layer in zip(names, result, strict=True):
        _require_alike(names[0], first, name, layer)
    before = [layer.weight.detach() for layer in result]
    for candidate, new in zip(candidates, result, strict=True):
        if candidate is not None:
            replace_module(model, candidate.names, candidate.module, new)
    settle_encoders(model)
    for layer in result[1:]:
        layer.register_parameter(f"core_{place}", first.parts[f"core_{place}"])
    errors = [
        float((layer.weight.detach() - old).norm() / torch.where(old.norm() > 0, old.norm(), 1.0))
        for layer, old in zip(result, before, strict=True)
    ]
    return described(names, result, place, tuple(errors))


def described(
    names: Sequence[str],
    layers: Sequence[TTMatrixLinear],
    place: int,
    errors: tuple[float, ...] | None = None,
) -> SharedCore:
    """The record of layers that share the core at a place."""
    parts = {id(part): part.numel() for layer in layers for part in layer.parts.values()}
    rows, columns = layers[0].weight_shape
    return SharedCore(
        names=tuple(names),
        core=place,
        ranks=layers[0].ranks,
        parameters=sum(parts.values()),
        parameters_unshared=sum(layer.value.num_parameters for layer in layers),
        parameters_dense=rows * columns * len(layers),
        errors=errors,
    )


def _named(model: nn.Module, names: Sequence[str]) -> list[nn.Linear | TTMatrixLinear]:
    modules = dict(model.named_modules(remove_duplicate=False))
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) < 2:
        raise OptionError(f"share_cores: got {names!r} for names; pass the names of two layers or more.")
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise OptionError(f"share_cores: {twice[0]!r} is named twice; name every layer once.")
    found = []
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name.rpartition(".")[0])
    for name in names:
        layer = modules.get(name)
        if not name or not (type(layer) is nn.Linear or isinstance(layer, TTMatrixLinear)):
            kind = "missing" if layer is None else f"a {type(layer).__name__}"
            raise OptionError(
                f"share_cores: {name!r} is {kind}; pass names of nn.Linear or TTMatrixLinear layers in the model."
            )
        if isinstance(layer, TTMatrixLinear) and layer.computed:
            raise OptionError(
                f"share_cores: layer {name!r} is computed by a parametrisation, such as gates; collapse it first."
            )
        weights = layer.parts.values() if isinstance(layer, TTMatrixLinear) else [layer.weight]
        users = {user for weight in weights for user in owners[id(weight)]}
        if users != {name}:
            other = min(users - {name})
            raise OptionError(
                f"share_cores: {name!r} shares its weight with {other!r}; name it once, or undo that first, such as "
                "with unshare_cores."
            )
        found.append(layer)
    return found


def _convertible(
    model: nn.Module, names: Sequence[str], layers: Sequence[nn.Module]
) -> list[Candidate | None]:
    """For each layer what to convert; None of those that are TT-matrices already."""
    dense = [
        re.escape(name) for name, layer in zip(names, layers, strict=True) if isinstance(layer, nn.Linear)
    ]
    if not dense:
        return [None] * len(layers)
    found = {candidate.module: candidate for candidate in convertible(model, dense, None, TT_MATRIX_RULES)}
    chosen = [found.get(layer) for layer in layers]
    for name, candidate in zip(names, chosen, strict=True):
        if candidate is not None and candidate.reason is not None:
            raise OptionError(
                f"share_cores: layer {name!r} cannot be converted, {candidate.reason}; leave it out."
            )
    return chosen


def _place(layer: TTMatrixLinear, core: int | None) -> int:
    count = len(layer.parts)
    if core is None:
        return count // 2
    if isinstance(core, bool) or not isinstance(core, int) or not 1 <= core < count:
        raise OptionError(
            f"share_cores: core must be a whole number in 1..{count - 1}, got {core!r}; leave it out for the middle."
        )
    return core


def _require_alike(first_name: str, first: TTMatrixLinear, name: str, layer: TTMatrixLinear) -> None:
    def form(layer: TTMatrixLinear) -> tuple[object, ...]:
        return layer.out_sizes, layer.in_sizes, layer.ranks, layer.leading.dtype, layer.leading.device

    if form(first) != form(layer):
        raise ShapeError(
            f"share_cores: {first_name!r} is {first.value!r} and {name!r} is {layer.value!r}; sizes, ranks, dtype and "
            "device must agree, so share in several calls."
        )

"""LoRA folders of the library PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``, in and out.

Axes: O outputs, I inputs, R rank. PEFT's change of a weight is ``scale * B_OR A_RI``; of a convolution, B is 1x1 and A
has the kernel.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._checkpoint import atomic_path
from rankfold._checkpoint._words import brief
from rankfold._checks import check_path
from rankfold._errors import CheckpointError, OptionError
from rankfold.adapters._adapted import AdaptedLayer, adapted_layers, require_adapted
from rankfold.adapters._attach import attach
from rankfold.adapters._low_rank import LowRank, LowRankChange
from rankfold.adapters._peft_folder import CONFIG, PREFIX, TENSORS, read_folder
from rankfold.adapters._peft_patterns import matched
from rankfold.convert._candidates import find_candidates
from rankfold.formats import Tucker
from rankfold.layers import Conv2d, Embedding, FactorizedLayer, Linear, TransposedLinear, require_module
from rankfold.linalg import spectrum_dtype

__all__ = ["load_peft", "save_peft"]


def save_peft(model: nn.Module, folder: str | os.PathLike[str], *, base_model: str | None = None) -> None:
    """Write low-rank adapters as PEFT writes LoRA, for ``PeftModel.from_pretrained`` and whatever reads such folders.

    Every layer keeps its own rank (``rank_pattern``), and ``lora_alpha`` equals it, so that PEFT's factor is 1. Each
    file is complete under its name or not there at all.

    Arguments:
        model: with :class:`LowRank` adapters on linear layers, ``Conv1D`` of transformers, 2-d convolutions without
            groups, or embeddings.
        folder: made if it does not exist.
        base_model: name or path of the frozen model, for the configuration; None leaves it open.

    Raises:
        OptionError: the model has no adapter, or one that LoRA cannot express.
        CheckpointError: the folder cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from rankfold import adapters
        >>> model, folder = nn.Sequential(nn.Linear(8, 8)), pathlib.Path(tempfile.mkdtemp())
        >>> attachment = adapters.attach(model, 2)
        >>> adapters.save_peft(model, folder)
        >>> sorted(file.name for file in folder.iterdir())
        ['adapter_config.json', 'adapter_model.safetensors']
    """
    from safetensors.torch import save_file

    check_path("adapters.save_peft", folder)
    found = require_adapted(model, "save_peft")
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    transposed = set()
    for name, adapted in found.items():
        layer = _low_rank_layer(name, adapted)
        down, up = _pair(layer)
        ranks[name] = down.shape[0]
        transposed.add(isinstance(layer, TransposedLinear))
        words = (
            ("lora_embedding_A", "lora_embedding_B")
            if isinstance(layer, Embedding)
            else (
                "lora_A.weight",
                "lora_B.weight",
            )
        )
        for word, value in zip(words, (down, up), strict=True):
            tensors[f"{PREFIX}{name}.{word}"] = value.to(torch.float32).contiguous().cpu()
    if len(transposed) > 1:
        raise OptionError(
            "adapters.save_peft: PEFT knows one orientation of weights per folder, and this model has adapters on both "
            "linear layers and Conv1D; save them with adapters.save_adapter."
        )
    most = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != most}
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_model,
        "r": most,
        "lora_alpha": most,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": transposed == {True},
        "target_modules": sorted(ranks),
        # PEFT takes the keys for ends of names; a caret makes them whole ones.
        "rank_pattern": {f"^{name}": rank for name, rank in others.items()},
        "alpha_pattern": {f"^{name}": rank for name, rank in others.items()},
        "inference_mode": True,
    }
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{place}: the folder cannot be made ({error.strerror}); name another."
        ) from None
    with atomic_path(place / TENSORS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    with atomic_path(place / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def load_peft(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Attach the adapters of a LoRA folder of PEFT to a model of the same class; all of it or nothing.

    Whole modules and biases that were trained beside them (``modules_to_save``, ``bias``) are loaded into the model and
    stay trainable.

    Arguments:
        model: without adapters, with the weights that LoRA was trained on.
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        CheckpointError: a file is missing or damaged, the folder holds something else than plain LoRA, or it is for
            layers that the model does not have.
        OptionError: the model has adapters already.

    Example:
        >>> import pathlib, tempfile
        >>> from rankfold import adapters
        >>> model, folder = nn.Sequential(nn.Linear(8, 8)), pathlib.Path(tempfile.mkdtemp())
        >>> attachment = adapters.attach(model, 2)
        >>> adapters.save_peft(model, folder)
        >>> other = nn.Sequential(nn.Linear(8, 8))
        >>> adapters.load_peft(other, folder)
        >>> other[0].change.layer.ranks
        (2, 2)
    """
    require_module(model, "adapters.load_peft")
    check_path("adapters.load_peft", folder)
    place = Path(folder)
    config, pairs, others = read_folder(place)
    if next(adapted_layers(model), None) is not None:
        raise OptionError(
            "adapters.load_peft: the model has adapters already; call adapters.detach(model) first."
        )
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(
        model.named_buffers(remove_duplicate=False)
    )
    for name, value in others.items():
        if name not in own or own[name].shape != value.shape:
            raise CheckpointError(
                f"{place}: holds {brief(name)!r} of shape {tuple(value.shape)}, which the model does not have; load it "
                "into the model that it was trained on."
            )
    candidates = {name: candidate for candidate in find_candidates(model) for name in candidate.names}
    values: dict[str, Tucker] = {}
    for name, (down, up) in pairs.items():
        candidate = candidates.get(name)
        weight = None if candidate is None else candidate.weight
        if candidate is None or weight is None or candidate.reason is not None:
            why = "is no layer of this model" if candidate is None else str(candidate.reason)
            raise CheckpointError(
                f"{place}: the adapter is for {brief(name)!r}, which cannot have one: {why}; pass the model it is for."
            )
        tucker = _tucker(candidate.rule.layer, _scale(config, name, down) * up, down)
        if tucker is None or tucker.shape != tuple(weight.shape):
            raise CheckpointError(
                f"{place}: the adapter of {brief(name)!r} has shapes {tuple(down.shape)} and {tuple(up.shape)}, which "
                f"do not fit a weight of shape {tuple(weight.shape)}; load it into the model that it was trained on."
            )
        values[name] = tucker
    attach(model, LowRank(1), include=sorted({re.escape(name) for name in values}))
    for name, adapted in adapted_layers(model):
        layer = _low_rank_layer(name, adapted)
        value = values[name]
        layer.assign(
            Tucker(
                value.core.to(layer.core), tuple(f if f is None else f.to(layer.core) for f in value.factors)
            )
        )
    for name, value in others.items():
        own[name].copy_(value)
        if own[name].is_floating_point() and isinstance(own[name], nn.Parameter):
            own[name].requires_grad_(True)


def _low_rank_layer(name: str, adapted: AdaptedLayer) -> FactorizedLayer:
    change = adapted.change
    if not isinstance(change, LowRankChange):
        raise OptionError(
            f"adapters.save_peft: the adapter of {name!r} is no LowRank one, which is all that LoRA can express; save "
            "it with adapters.save_adapter."
        )
    layer = change.layer
    plain = isinstance(layer, Linear | TransposedLinear | Embedding)
    if not (plain or (isinstance(layer, Conv2d) and layer.groups == 1 and layer.modes == (0, 1))):
        raise OptionError(
            f"adapters.save_peft: layer {name!r} is a {type(layer).__name__} that PEFT has no LoRA for; save it with "
            "adapters.save_adapter."
        )
    return layer


@torch.no_grad()
def _pair(layer: FactorizedLayer) -> tuple[Tensor, Tensor]:
    """A and B with ``B A`` the change, in the orientation that PEFT wants."""
    factors = layer.factors
    if isinstance(layer, Linear):
        return layer.core @ factors[1].mT, factors[0]
    if isinstance(layer, TransposedLinear):
        return factors[0].mT, (layer.core @ factors[1].mT).mT
    if isinstance(layer, Embedding):
        return factors[0].mT, (layer.core @ factors[1].mT).mT
    down = torch.einsum("pqkl,iq->pikl", layer.core, factors[1])
    return down, factors[0][:, :, None, None]


def _tucker(kind: type[FactorizedLayer], up: Tensor, down: Tensor) -> Tucker | None:
    """The change ``B A`` with orthonormal factors; None where the shapes do not belong together."""
    dtype = spectrum_dtype(down)
    up, down = up.to(dtype), down.to(dtype)
    conv = kind is Conv2d
    fits = up.ndim == down.ndim == (4 if conv else 2) and up.shape[1] == down.shape[0]
    if not fits or (conv and tuple(up.shape[2:]) != (1, 1)):
        return None
    if conv:
        basis, triangle = torch.linalg.qr(up[:, :, 0, 0])
        core = torch.einsum("pr,rikl->pikl", triangle, down)
        inner, coordinates = torch.linalg.qr(core.transpose(0, 1).flatten(1))
        core = coordinates.unflatten(1, (core.shape[0], *core.shape[2:])).transpose(0, 1)
        return Tucker(core, (basis, inner, None, None)).rotate()
    outer, left = torch.linalg.qr(up)
    inner, right = torch.linalg.qr(down.mT)
    core = left @ right.mT
    tucker = Tucker(core, (outer, inner)) if kind is Linear else Tucker(core.mT, (inner, outer))
    return tucker.rotate()


def _scale(config: Mapping[str, Any], name: str, down: Tensor) -> float:
    rank = down.shape[0]
    alpha = matched(config.get("alpha_pattern") or {}, name, config.get("lora_alpha", rank))
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)

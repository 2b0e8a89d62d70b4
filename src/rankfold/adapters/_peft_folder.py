"""What a LoRA folder of PEFT holds, checked before a model is touched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rankfold._checkpoint._file import read_file
from rankfold._checkpoint._words import brief, some
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold._json_files import read_json
from rankfold.adapters._peft_patterns import reason_to_refuse

__all__ = ["CONFIG", "PREFIX", "TENSORS", "read_folder"]

CONFIG, TENSORS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
# What would change the meaning of the tensors; None, False and empty values mean that it is not used.
_REFUSED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "target_parameters",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
)
# The other ways to begin change the frozen weights as well, and PEFT does so anew when it loads (PEFT 0.21,
# tuners/lora/layer.py, update_layer).
_HARMLESS_STARTS = ("gaussian", "eva", "orthogonal")
_ENDINGS = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}

Pairs = dict[str, tuple[Tensor, Tensor]]


def read_folder(place: Path) -> tuple[dict[str, Any], Pairs, dict[str, Tensor]]:
    """The configuration, A and B by the name of their layer, and whole tensors by their own names.

    Raises:
        CheckpointError: a file is missing or damaged, or holds something else than plain LoRA.
    """
    config = _read_config(place / CONFIG)
    tensors, _ = read_file(place / TENSORS)
    beside = bool(config.get("modules_to_save")) or config.get("bias", "none") != "none"
    found: dict[str, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = key.removeprefix(PREFIX)
        ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
        if ending is not None:
            found.setdefault(name.removesuffix(ending), {})[_ENDINGS[ending]] = value
        elif beside and ".lora_" not in name:
            if ".original_module." not in name:  # which takes no part
                # PEFT's wrappers have names of their own; what modules_to_save holds is what takes part.
                plain = name.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
                if plain not in others or plain != name:
                    others[plain] = value
        else:
            raise CheckpointError(
                f"{place}: holds {brief(key)!r}, which is no part of plain LoRA; merge the adapter with PEFT."
            )
    _check(found, others, beside, place)
    return config, {name: (parts["A"], parts["B"]) for name, parts in found.items()}, others


def _check(
    found: Mapping[str, Mapping[str, Tensor]], others: Mapping[str, Tensor], beside: bool, place: Path
) -> None:
    lacking = [name for name, parts in found.items() if len(parts) < 2]
    if lacking or not found:
        raise CheckpointError(
            f"{place}: {some(lacking) if lacking else 'the file'} lacks lora_A or lora_B; restore {TENSORS}."
        )
    if beside and not others:
        raise CheckpointError(
            f"{place}: of modules_to_save or bias, which the configuration names, the file holds none; restore "
            f"{TENSORS}."
        )
    values = [(name, value) for name, parts in found.items() for value in parts.values()]
    for name, value in values:
        if value.ndim < 2 or not value.numel():
            raise CheckpointError(
                f"{place}: the adapter of {brief(name)!r} has the shape {tuple(value.shape)}; restore the file."
            )
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise CheckpointError(
                f"{place}: the adapter of {brief(name)!r} holds NaN, infinity or no numbers; restore the file."
            )
    for name, value in others.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckpointError(f"{place}: {brief(name)!r} holds NaN or infinity; restore the file.")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file}: not readable as JSON ({brief(error)}); pass a folder that PEFT or save_peft wrote."
        ) from None
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise CheckpointError(f"{file}: holds an adapter of type {brief(kind)}; only LORA can be read.")
    used = [name for name in _REFUSED if config.get(name)]
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start not in _HARMLESS_STARTS:
        used.append(f"init_lora_weights={brief(start)!r}")
    if used:
        raise CheckpointError(
            f"{file}: the adapter uses {some(used)}, which has no form here; merge it with PEFT."
        )
    patterns = config.get("alpha_pattern") or {}
    reason = reason_to_refuse(patterns) if isinstance(patterns, dict) else "it is no object"
    if reason is not None:
        raise CheckpointError(f"{file}: alpha_pattern cannot be read: {reason}; write the names of layers.")
    if any(finite(alpha) is None for alpha in (config.get("lora_alpha", 1), *patterns.values())):
        raise CheckpointError(f"{file}: lora_alpha or alpha_pattern are no numbers; restore the file.")
    return config

"""Models and training states as safetensors files with ranks in the header; no pickle."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import CheckpointError, ConversionError
from rankfold.convert import factorize_like
from rankfold.layers import FactorizedLayer

__all__ = ["atomic_path", "load", "load_state", "read_layouts", "save", "save_state"]

_FORMAT = "rankfold-1"


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model's parameters and buffers, at their exact ranks, to a safetensors file.

    The file is complete under its name or not there at all. Tensors that the model shares are written once.

    Arguments:
        model: any module, with factorised layers or without.
        path: the file, overwritten if it exists.

    Raises:
        CheckpointError: the file cannot be written.

    Example:
        >>> import tempfile, pathlib, rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(20, 10))
        >>> _ = rf.factorize(model, 2)
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> rf.save(model, file)
        >>> dense = nn.Sequential(nn.Linear(20, 10))
        >>> rf.load(dense, file)
        >>> dense[0].ranks
        (2, 2)
    """
    layers = {
        name: {
            "kind": module.dense_class.__name__,
            "modes": module.modes,
            "ranks": module.ranks,
            "shape": module.weight_shape,
        }
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FactorizedLayer)
    }
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path}: {name!r} is a {type(tensor).__name__}; only tensors can be saved."
            )
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        if key in seen:
            aliases[name] = seen[key]
        else:
            seen[key] = name
            whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
            tensors[name] = (
                tensor.contiguous() if whole else tensor.clone(memory_format=torch.contiguous_format)
            )
    _write(path, tensors, {"layers": layers, "aliases": aliases})


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def load(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a file of :func:`save` into a model of the same class, dense or factorised; ranks come from the file.

    Arguments:
        model: dense layers that the file has in factorised form are replaced in place.
        path: the file.

    Raises:
        CheckpointError: the file is missing, damaged or of another model; the model is unchanged.
    """
    tensors, header = _read(path)
    try:
        tensors.update({name: tensors[source] for name, source in header.get("aliases", {}).items()})
    except KeyError as error:
        raise CheckpointError(f"{path}: the file is damaged, it lacks the tensor {error}.") from error
    layers = header.get("layers", {})
    _check_fit(model, tensors, layers, path)
    try:
        factorize_like(model, layers)
    except ConversionError as error:
        raise CheckpointError(f"{path}: {error}") from error
    model.load_state_dict(tensors)


def read_layouts(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The factorised layers that a file holds: by name their kind, modes, ranks and dense shape.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return _read(path)[1].get("layers", {})


def save_state(path: str | os.PathLike[str], tree: Any) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings, booleans and None to one file.

    Raises:
        CheckpointError: the file cannot be written, or the tree holds something else.
    """
    tensors: dict[str, Tensor] = {}
    _write(path, tensors, {"tree": _encode(tree, tensors)})


def load_state(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save_state` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    tensors, header = _read(path)
    if "tree" not in header:
        raise CheckpointError(f"{path}: the file holds no training state; pass the checkpoint of a run.")
    return _decode(header["tree"], tensors)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it when the block ends well and removed when not.

    Raises:
        CheckpointError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot write there ({error.strerror}); name a folder that exists."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files that only the owner may read
        temporary.replace(target)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot write there ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: str | os.PathLike[str], tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    detached = {name: tensor.detach() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(
                detached,
                temporary,
                metadata={"format": "pt", "rankfold": json.dumps({"version": _FORMAT, **header})},
            )
        except (SafetensorError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be written ({error}).") from error


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file; pass a .safetensors file that rankfold wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("rankfold", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(f"{path}: the file is damaged or no safetensors file ({error}).") from error
    version = header.get("version", _FORMAT) if isinstance(header, dict) else header
    if version != _FORMAT:
        raise CheckpointError(
            f"{path}: the file has format {version!r}, this library reads {_FORMAT!r}; use the version that wrote it."
        )
    return tensors, header


def _check_fit(
    model: nn.Module, tensors: dict[str, Tensor], layers: dict[str, Any], path: str | os.PathLike[str]
) -> None:
    """Compare names and shapes before anything is changed."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, module in modules.items():
        if name in layers:
            weight = getattr(module, "weight", None)
            shape = () if weight is None else tuple(weight.shape)
            if shape != tuple(layers[name]["shape"]):
                raise CheckpointError(
                    f"{path}: layer {name!r} has a weight of shape {layers[name]['shape']}, the model's is {shape}; "
                    "build the model with the arguments it was saved with."
                )
            modes, ranks = tuple(layers[name]["modes"]), tuple(layers[name]["ranks"])
            if isinstance(module, FactorizedLayer) and module.modes != modes:
                raise CheckpointError(
                    f"{path}: layer {name!r} is factorised along modes {modes}, the model's along {module.modes}; "
                    "use a dense model."
                )
            for key in [key for key in expected if key.startswith(f"{name}.") and not key.endswith(".bias")]:
                del expected[key]
            expected.update({f"{name}.core": ranks, f"{name}.ranks": (len(ranks),)})
            expected.update({f"{name}.factor_{mode}": (shape[mode], ranks[mode]) for mode in modes})
        elif isinstance(module, FactorizedLayer):
            raise CheckpointError(
                f"{path}: layer {name!r} is factorised in the model and dense in the file; use a dense model."
            )
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(name for name in {**expected, **found} if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{path}: {name!r} is {found.get(name, 'missing')} in the file and {expected.get(name, 'missing')} in the "
            f"model, and {len(wrong) - 1} more differ; build the model that was saved."
        )


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON in which every container is tagged, because JSON knows neither tensors nor whole-number keys."""
    if isinstance(value, Tensor):
        key = str(len(tensors))
        tensors[key] = value.contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict) and all(key is None or isinstance(key, int | float | str) for key in value):
        return {"dict": [[key, _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise CheckpointError(
        f"a training state may hold tensors and plain values only, under plain keys, got {type(value).__name__}."
    )


def _decode(node: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        # A copy at an address that torch chose: kernels follow the alignment of their data.
        return tensors[content].clone()
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    if kind == "list":
        return [_decode(item, tensors) for item in content]
    return content

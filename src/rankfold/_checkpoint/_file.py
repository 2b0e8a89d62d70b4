"""Bytes on the disk: safetensors files with a JSON header of ours and a digest over everything.

safetensors checks the structure of a file, not its numbers: a bit that flips in the data is seen by the digest only.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankfold._atomic import atomic_path
from rankfold._checkpoint._words import brief
from rankfold._errors import CheckpointError
from rankfold._json_files import parse_json, within_depth
from rankfold._version import __version__

__all__ = ["damage", "read_file", "write_file"]

# Files of the first format have no digest.
_FIRST, _FORMAT = "rankfold-1", "rankfold-2"
_NAMED = re.compile(r"rankfold-\d+", re.ASCII)
_HEADER, _DIGEST = "rankfold", "rankfold-sha256"
# How files begin that pickle wrote: alone, or in the zip archives of torch.save.
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def damage(sentence: str) -> CheckpointError:
    """The error for a file whose bytes are not those that were written."""
    error = CheckpointError(sentence)
    error.damaged = True
    return error


def write_file(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header of plain values.

    Raises:
        CheckpointError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    versions = {"rankfold": __version__, "torch": torch.__version__}
    local = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        if not within_depth(header):
            raise CheckpointError(
                f"{path}: a training state is nested too deeply; give optimiser and scheduler plain settings."
            )
        try:
            text = json.dumps({"version": _FORMAT, "versions": versions, **header})
            metadata = {"format": "pt", _HEADER: text, _DIGEST: _digest(text, local)}
            save_file(local, temporary, metadata=metadata)
        except (SafetensorError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: cannot be written ({brief(error)}); make room, or leave out what is no plain value."
            ) from error


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read what :func:`write_file` wrote, or the tensors of another program's file.

    Returns:
        Tensors, which may lie in the mapped file, and the header; None where the file has none of ours.

    Raises:
        CheckpointError: the file is missing, damaged or of a format that this version does not know.
    """
    from safetensors import SafetensorError, safe_open

    _require_file(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = parse_json(metadata[_HEADER]) if _HEADER in metadata else None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    # Besides its own error safetensors raises those of torch for shapes and types that it lets pass.
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        # Only now, for the length that a safetensors file begins with may be any of these bytes.
        if _start(path).startswith(_PICKLES):
            raise CheckpointError(
                f"{path}: this is a file of torch.save or pickle, which rankfold does not open; read it with "
                "torch.load(..., weights_only=True), and give the result to model.load_state_dict or to "
                "safetensors.torch.save_file."
            ) from None
        raise damage(
            f"{path}: the file is damaged or no safetensors file ({brief(error)}); copy or save it again."
        ) from None  # whose message quotes the file as it is
    if header is None and _DIGEST not in metadata:
        return tensors, None
    if not isinstance(header, dict):
        raise damage(f"{path}: the file is damaged: its header is no JSON object; copy or save it again.")
    version = header.get("version", _FIRST)
    if not isinstance(version, str) or not _NAMED.fullmatch(version):
        raise damage(
            f"{path}: the file is damaged: its format is called {brief(repr(version))}; copy or save it again."
        )
    if version not in (_FIRST, _FORMAT):
        raise CheckpointError(
            f"{path}: the file has format {brief(repr(version))}, this library reads {_FIRST!r} and {_FORMAT!r}; use "
            "the version that wrote it."
        )
    has_digest = version == _FORMAT or _DIGEST in metadata
    if has_digest and metadata.get(_DIGEST) != _digest(metadata[_HEADER], tensors):
        raise damage(
            f"{path}: the file is damaged: its content does not match its digest; copy or save it again."
        )
    return tensors, header


def _require_file(path: Path) -> None:
    """One sentence for what cannot be a file of tensors at first sight."""
    try:
        if path.is_dir():
            raise CheckpointError(f"{path}: this is a folder; pass a .safetensors file.")
        if not path.is_file():
            raise CheckpointError(
                f"{path}: there is no such file; pass a .safetensors file that rankfold wrote."
            )
        _start(path)
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise CheckpointError(f"{path}: cannot be read ({brief(error)}); pass a file that can.") from error


def _start(path: str | os.PathLike[str]) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(4)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of header and tensors, on this kind of machine faster than BLAKE2 and MD5."""
    result = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        result.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            result.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()

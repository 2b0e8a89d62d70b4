"""One tensor of a safetensors file."""

from pathlib import Path

import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._tensor_source import TensorSource, chosen_key, working_dtype

__all__ = ["open_safetensors"]

# The format's names of types, github.com/huggingface/safetensors, section "Format".
_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_PREFIXES = {"I": "int", "U": "uint"}
# Besides its own error safetensors raises those of torch for shapes and types that it lets pass.
_BROKEN = Exception


def open_safetensors(path: Path, key: str | None) -> TensorSource:
    """Read the header of a ``.safetensors`` file and choose a tensor.

    Raises:
        DataError: the file is damaged, or the key is missing or unknown.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            name = chosen_key(path, list(file.keys()), key)
            header = file.get_slice(name)
            shape, code = tuple(header.get_shape()), header.get_dtype()
    except DataError:
        raise
    except _BROKEN as error:
        raise _damaged(path, error) from None
    stored_dtype = _NAMES.get(code) or _PREFIXES.get(code[0], code[0]) + code[1:]
    dtype = working_dtype(stored_dtype, path)
    stored = torch.Size(shape).numel()

    def load() -> Tensor:
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name).to(dtype)
        except _BROKEN as error:
            raise _damaged(path, error) from None

    return TensorSource(
        path=path,
        key=name,
        shape=shape,
        stored=stored,
        stored_dtype=stored_dtype,
        dtype=dtype,
        read_bytes=2 * stored * dtype.itemsize,
        load=load,
    )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: the file is damaged or no safetensors file ({error}); write it again.")

"""What a network takes, from words such as ``3x32x32`` and ``int64:16``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.cli._model_source import require_known
from rankfold.models import MODELS

__all__ = ["InputShape", "example_inputs", "read_input_shapes"]

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.int32,
        torch.int64,
        torch.bool,
    )
}
_WORD = re.compile(r"(?:(\w+):)?([0-9]+(?:x[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class InputShape:
    """One input of a network, without the batch axis.

    Arguments:
        sizes: of one sample.
        dtype: None for that of the network's parameters.
    """

    sizes: tuple[int, ...]
    dtype: torch.dtype | None = None


def read_input_shapes(model: str, words: Sequence[str]) -> tuple[InputShape, ...]:
    """The inputs of a network, in the order of its forward.

    Arguments:
        model: a name in ``MODELS``, or ``module:callable``.
        words: ``--input-shape``, one word an input; none where the network is known.

    Raises:
        OptionError: a word that is no shape, none for a network of the user's own, or no known network.
    """
    require_known(model)
    if not words:
        if model in MODELS:
            return (InputShape(MODELS[model].input_shape),)
        raise OptionError(
            f"--model {model}: what one input looks like is not known; give --input-shape without the batch axis, such "
            "as 3x32x32, or int64:16 for 16 tokens (compress also reads it off the data of --calibrate)."
        )
    return tuple(_read(word) for word in words)


def example_inputs(shapes: Sequence[InputShape], network: nn.Module, rows: int) -> tuple[Tensor, ...]:
    """The same random inputs each time: normal, or 0 and 1 where they are whole numbers or booleans.

    Arguments:
        shapes: of :func:`read_input_shapes`.
        network: its first floating-point parameter gives the dtype where a shape does not.
        rows: the batch size.
    """
    floating = [parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()]
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for shape in shapes:
        dtype = shape.dtype or (floating[0] if floating else torch.float32)
        size = (rows, *shape.sizes)
        if dtype.is_floating_point:
            inputs.append(torch.randn(size, generator=generator).to(dtype))
        else:
            inputs.append(torch.randint(0, 2, size, generator=generator).to(dtype))
    return tuple(inputs)


def _read(word: str) -> InputShape:
    match = _WORD.fullmatch(word)
    sizes = tuple(int(size) for size in match[2].split("x")) if match else ()
    if match is None or min(sizes) < 1 or (match[1] is not None and match[1] not in _DTYPES):
        raise OptionError(
            f"--input-shape: got {word!r}, allowed are sizes of at least 1 joined by x, after one of "
            f"{', '.join(_DTYPES)} and a colon where it is not the dtype of the parameters; write it as 3x32x32 or "
            "int64:16."
        )
    return InputShape(sizes, _DTYPES.get(match[1]))

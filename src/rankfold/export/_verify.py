"""Does an exported file compute what the model computes?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import ExportError, OptionError
from rankfold.export._arguments import Arguments
from rankfold.export._quiet import reason
from rankfold.export._trace import Traced

__all__ = ["Difference", "checked_tolerance", "verify"]

# Rounding of re-ordered sums adds up like a random walk over the operations of a network. Choice of this library:
# 32 eps an operation, over ten times what onnxruntime shows on the networks of rankfold.models, and for float32 less
# than what GELU by tanh differs from GELU by erf, the kind of replacement that an exporter could make.
_EPS_PER_OPERATION = 32
_LARGEST_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest difference between outputs.

    Arguments:
        absolute: as it is.
        relative: divided by the largest entry of the output in absolute value.
        tolerance: relative difference that is allowed.
        batch_sizes: numbers of rows that were compared.
    """

    absolute: float
    relative: float
    tolerance: float
    batch_sizes: tuple[int, ...]


def checked_tolerance(where: str, tolerance: float | None) -> float | None:
    """A tolerance that was found to be in range, or None.

    Raises:
        OptionError: it is not.
    """
    if tolerance is not None and not 0 <= tolerance < 1:
        raise OptionError(
            f"{where}: tolerance is {tolerance!r}, allowed is a number in [0, 1); pass one, or None for a multiple of "
            "the rounding of the model's dtype."
        )
    return tolerance


def verify(traced: Traced, run: Callable[[Arguments], list[Any]], tolerance: float | None) -> Difference:
    """Run an exported file and its model on the example inputs, on one row, and on one row more.

    Arguments:
        traced: the model and its example inputs.
        run: gives the outputs of the file, in the order of the model's and without nesting.
        tolerance: relative difference to allow; None derives it from the dtype and the number of operations.

    Raises:
        ExportError: the file fails, or its outputs are not those of the model.
    """
    where, rows = traced.where, traced.arguments.rows
    sizes = tuple(dict.fromkeys((rows, 1, rows + 1))) if traced.dynamic_batch else (rows,)
    allowed = _derived_tolerance(traced) if tolerance is None else tolerance
    absolute = relative = 0.0
    for size in sizes:
        arguments = traced.arguments.with_rows(size)
        reference = _of_model(traced, arguments)
        try:
            found = run(arguments)
        except Exception as error:
            raise ExportError(
                f"{where}: the exported file fails on a batch of {size} ({reason(error)}); the model uses something "
                "that the format or its runtime does not have."
            ) from error
        for a, b in _differences(where, size, reference, found):
            absolute, relative = max(absolute, a), max(relative, b)
        if not relative <= allowed:
            again = _of_model(traced, arguments)
            steady = all(b <= allowed for _, b in _differences(where, size, reference, again))
            advice = (
                f"pass tolerance={relative:.1g} or more if that is small enough"
                if steady
                else "two runs of the model itself differ, so take what is random or keeps state out of its forward"
            )
            raise ExportError(
                f"{where}: an output of the exported file differs from the model's by {relative:.3g} of its largest "
                f"entry on a batch of {size}, allowed is {allowed:.3g}; {advice}."
            )
    return Difference(absolute, relative, allowed, sizes)


def _of_model(traced: Traced, arguments: Arguments) -> list[Any]:
    try:
        return arguments.call(traced.network)
    except Exception as error:
        raise ExportError(
            f"{traced.where}: the model runs on {traced.arguments.rows} rows and fails on {arguments.rows} "
            f"({reason(error)}); change it, or fix the batch with dynamic_batch=False (on the command line "
            "--fixed-batch)."
        ) from error


def _derived_tolerance(traced: Traced) -> float:
    tensors = [value for value in traced.arguments.leaves() if isinstance(value, Tensor)]
    tensors += [*traced.network.parameters(), *traced.network.buffers()]
    eps = [torch.finfo(t.dtype).eps for t in tensors if t.is_floating_point() or t.is_complex()]
    operations = sum(node.op == "call_function" for node in traced.program.graph.nodes)
    coarsest = max(eps, default=torch.finfo(torch.float32).eps)
    return min(_EPS_PER_OPERATION * coarsest * max(operations, 1) ** 0.5, _LARGEST_TOLERANCE)


def _differences(
    where: str, size: int, reference: Sequence[Any], found: Sequence[Any]
) -> list[tuple[float, float]]:
    if len(reference) != len(found):
        raise ExportError(
            f"{where}: the exported file gives {len(found)} outputs on a batch of {size}, the model {len(reference)}; "
            "return the same tensors whatever the input is."
        )
    return [
        _difference(f"{where}: output {index} on a batch of {size}", a, b)
        for index, (a, b) in enumerate(zip(reference, found, strict=True))
    ]


def _difference(what: str, reference: Any, found: Any) -> tuple[float, float]:
    """Absolute and relative difference of one output."""
    if not isinstance(reference, Tensor) or not isinstance(found, Tensor):
        if type(reference) is not type(found) or reference != found:
            raise ExportError(
                f"{what} is {found!r} in the exported file, {reference!r} in the model; return tensors."
            )
        return 0.0, 0.0
    if reference.shape != found.shape or reference.dtype != found.dtype:
        raise ExportError(
            f"{what} is {found.dtype} of shape {tuple(found.shape)} in the exported file, {reference.dtype} of shape "
            f"{tuple(reference.shape)} in the model; write the forward so that shapes do not depend on the batch."
        )
    if not (reference.is_floating_point() or reference.is_complex()):
        if not torch.equal(reference, found):
            raise ExportError(
                f"{what} holds whole numbers or booleans that are not those of the model; return the numbers that they "
                "are made from, or other example inputs if these lie at a tie."
            )
        return 0.0, 0.0
    wide = torch.complex128 if reference.is_complex() else torch.float64
    a, b = reference.to(wide), found.to(wide)
    if a.isnan().any():
        raise ExportError(f"{what} holds NaN in the model itself; pass example inputs that it computes.")
    same = a == b  # infinities, whose difference is no number
    # NaN in the file is as far away as can be; as NaN it would be lost in the next maximum.
    distance = (a - b).masked_fill(same, 0).abs().nan_to_num(nan=inf, posinf=inf)
    absolute = float(distance.max()) if a.numel() else 0.0
    finite = a[a.abs().isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return absolute, absolute / scale if scale else absolute

"""Data as users bring them, checked once and for all formats."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, OptionError, ShapeError

__all__ = ["Mask", "checked_generator", "checked_mask", "checked_tensor"]

# What may say which entries are observed: True there; or 'nan', every entry that is not NaN.
Mask = Tensor | Any | Literal["nan"] | None

# torch.Generator.manual_seed takes these.
_SEEDS = (-(2**63), 2**64)


def checked_tensor(where: str, x: Any) -> Tensor:
    """The tensor to decompose; NaN is left to :func:`checked_mask`.

    Arguments:
        where: the caller's name, for the messages.
        x: a torch tensor or anything ``torch.as_tensor`` takes, of order 2 or more, real floating point.

    Returns:
        The same numbers, detached; half precision becomes float32. The input itself is not changed.

    Raises:
        ShapeError: another order or dtype, a dimension of size 0, or a tensor without numbers.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise ShapeError(
            f"{where}: got a numpy masked array, whose mask would be lost; pass x.data and mask=~x.mask."
        )
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiu":
        # Reversed axes and foreign byte orders mean something to numpy only.
        x = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
    try:
        tensor = x.detach() if isinstance(x, Tensor) else torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        raise ShapeError(
            f"{where}: got {type(x).__name__}; pass a torch tensor or a numpy array of real floating-point numbers."
        ) from None
    if tensor.is_meta:
        raise ShapeError(
            f"{where}: got a tensor on the meta device, which holds no numbers; pass one that does."
        )
    if tensor.is_complex() or not tensor.is_floating_point():
        way = (
            "split it into real and imaginary part"
            if tensor.is_complex()
            else "convert it to float64, for instance with .double() or .astype(float)"
        )
        raise ShapeError(f"{where}: got dtype {tensor.dtype}; only real floating point is decomposed, {way}.")
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ShapeError(
            f"{where}: got shape {tuple(tensor.shape)}; pass a tensor of order 2 or more without empty dimensions."
        )
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def checked_mask(where: str, tensor: Tensor, mask: Mask) -> tuple[Tensor, Tensor | None]:
    """Separate what is observed from what is not, and make sure that the former is finite.

    Arguments:
        where: the caller's name, for the messages.
        tensor: dense, from :func:`checked_tensor`.
        mask: None, ``'nan'``, or a bool tensor or array of the tensor's shape, True where an entry is observed.

    Returns:
        The tensor with zeros where nothing was observed, and the mask; None where all is observed.

    Raises:
        OptionError: a mask of another kind.
        ShapeError: a mask of another shape or dtype, or one that hides a whole slice.
        NonFiniteError: NaN or infinity in an observed entry.
    """
    if mask is None:
        # A sum is finite only if all entries are, unless it overflows; then a look at every entry decides.
        if not bool(tensor.sum().isfinite()):
            _check_finite(where, tensor, None)
        return tensor, None
    if isinstance(mask, str):
        if mask != "nan":
            raise OptionError(
                f"{where}: mask must be a bool tensor, 'nan' or None, got {mask!r}; pass one of these."
            )
        observed = ~tensor.isnan()
    else:
        try:
            observed = torch.as_tensor(mask).to(tensor.device)
        except (TypeError, ValueError, RuntimeError):
            raise OptionError(
                f"{where}: mask must be a bool tensor, 'nan' or None, got {type(mask).__name__}; pass one of these."
            ) from None
        dense = observed.layout == torch.strided
        if not dense or observed.dtype != torch.bool or observed.shape != tensor.shape:
            kind = observed.dtype if dense else f"{observed.dtype} {observed.layout}"
            raise ShapeError(
                f"{where}: got a {kind} mask of shape {tuple(observed.shape)} for a tensor of shape "
                f"{tuple(tensor.shape)}; pass a dense bool mask of that shape, True where an entry is observed."
            )
    if bool(observed.all()):
        _check_finite(where, tensor, None)
        return tensor, None
    for mode in range(tensor.ndim):
        others = tuple(axis for axis in range(tensor.ndim) if axis != mode)
        empty = (~observed.any(dim=others)).nonzero().flatten().tolist()
        if empty:
            shown = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
            slices = "1 slice" if len(empty) == 1 else f"{len(empty)} slices"
            raise ShapeError(
                f"{where}: nothing is observed in {slices} of mode {mode} (index {shown}), so nothing is known "
                "there; drop what was never observed first."
            )
    filled = torch.where(observed, tensor, 0.0)
    _check_finite(where, filled, tensor)
    return filled, observed


def checked_generator(where: str, generator: torch.Generator | int | None) -> torch.Generator:
    """A CPU generator from what the user gave.

    Arguments:
        where: the caller's name, for the messages.
        generator: a generator, a seed, or None for torch's global one.

    Returns:
        The generator.

    Raises:
        OptionError: something else, a seed out of range, or a generator of another device.
    """
    if generator is None:
        return torch.default_generator
    if isinstance(generator, int) and not isinstance(generator, bool):
        if not _SEEDS[0] <= generator < _SEEDS[1]:
            raise OptionError(
                f"{where}: a seed must lie in -2**63..2**64-1, as PyTorch has it, got {generator}; pass a smaller one."
            )
        return torch.Generator().manual_seed(generator)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        got = (
            f"a generator on {generator.device}"
            if isinstance(generator, torch.Generator)
            else repr(generator)
        )
        raise OptionError(
            f"{where}: generator must be a torch.Generator of the CPU, a seed or None, got {got}; pass one of these."
        )
    return generator


def _check_finite(where: str, tensor: Tensor, original: Tensor | None) -> None:
    bad = ~tensor.isfinite()
    count = int(bad.sum())
    if count == 0:
        return
    position = tuple(int(index) for index in bad.nonzero()[0])
    value = float(tensor[position])
    if value != value:
        advice = "pass mask='nan' to leave NaN entries out" if original is None else "hide it in the mask"
    else:
        advice = "infinite entries cannot be fitted, replace them or hide them in the mask"
    raise NonFiniteError(
        f"{where}: {count} of {tensor.numel()} entries are not finite, the first ({value}) at {position}; {advice}."
    )

"""The network that a command works on: by name or from the user's own code, with weights from a file."""

import importlib
import inspect
import os
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from torch import nn

from rankfold._checkpoint import load
from rankfold._errors import CheckpointError, OptionError
from rankfold.models import MODELS, build_model

__all__ = ["load_network", "require_known"]


def load_network(
    model: str, weights: Path | None = None, *, input_shape: tuple[int, ...] | None = None
) -> nn.Module:
    """Build a network and load weights into it.

    Arguments:
        model: a name in ``MODELS``, or ``module:callable`` for a function or class that gives an ``nn.Module``
            without arguments, or ``module:network`` for a module itself; found as ``python -m`` finds modules,
            the current folder first.
        weights: a safetensors file of :func:`rankfold.save` or of a plain state dict; None keeps what was built.
        input_shape: of one input, for the names in ``MODELS`` that can be built for several; None is the usual one.

    Returns:
        The network; layers that the file has in factorised form are factorised.

    Raises:
        OptionError: no such network, or what was named does not give one.
        CheckpointError: the file is missing, damaged or of another network.
    """
    network = _own(model) if ":" in model else _by_name(model, input_shape)
    if weights is not None:
        if weights.is_dir():
            raise CheckpointError(
                f"{weights}: this is a folder; pass the file of the weights, such as "
                f"{weights / 'model.safetensors'}."
            )
        load(network, weights)
    return network


def require_known(model: str) -> None:
    """Raise OptionError for what is neither a name in ``MODELS`` nor module:callable."""
    if ":" not in model and model not in MODELS:
        raise OptionError(
            f"--model: got {model!r}, known are {', '.join(sorted(MODELS))}; choose one of these, or write "
            "module:callable for a network of your own."
        )


def _by_name(name: str, input_shape: tuple[int, ...] | None) -> nn.Module:
    require_known(name)
    return build_model(name, input_shape=input_shape)  # pyright: ignore[reportArgumentType] - it checks


def _own(model: str) -> nn.Module:
    found = _attribute(model)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise OptionError(
            f"--model {model}: this is of type {type(found).__name__}; name what gives an nn.Module."
        )
    _check_takes_nothing(model, found)
    try:
        network = found()
    except (Exception, SystemExit) as error:
        raise OptionError(
            f"--model {model}: it failed with {_shown(error)}; name one that works without arguments."
        ) from error
    if not isinstance(network, nn.Module):
        raise OptionError(
            f"--model {model}: it gave an object of type {type(network).__name__}; name what gives an nn.Module."
        )
    return network


def _attribute(model: str) -> Any:
    module_name, _, path = model.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise OptionError(
            f"--model {model}: this is no module:callable; write it as in mypackage.networks:build."
        )
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise OptionError(
            f"--model {model}: importing {module_name} failed with {_shown(error)}; name a module that can be imported "
            "from this folder."
        ) from error
    try:
        return attrgetter(path)(module)
    except AttributeError:
        raise OptionError(
            f"--model {model}: the module {module_name} has no {path}; name a function or class of it."
        ) from None


def _check_takes_nothing(model: str, found: Any) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # some callables written in C tell nothing
        return
    try:
        signature.bind()
    except TypeError as error:
        raise OptionError(
            f"--model {model}: it needs arguments ({error}); write a function without arguments that calls it."
        ) from None


def _shown(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__

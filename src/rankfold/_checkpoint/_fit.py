"""Names and shapes of a file against those of a model, before anything is changed."""

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rankfold._checkpoint._layouts import AnyLayout, leaf
from rankfold._checkpoint._rebuild import Replacement
from rankfold._checkpoint._words import some
from rankfold._errors import CheckpointError
from rankfold.layers import FormatLayer

__all__ = ["check_fit", "with_what_plain_files_lack"]

_Signature = tuple[tuple[int, ...], str]

_FOLDED = (
    "it seems to hold folded layers, which load into a model folded alike only; save before folding (rankfold.compress "
    "does not fold with fold=False) and fold what was loaded"
)


def with_what_plain_files_lack(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors of another program's file, completed by what such files leave out.

    These are the batch counters of batch norms, which keep their value, and all names but one of a shared tensor.
    """
    state = model.state_dict(keep_vars=True)
    counters = {name for name in state if name.rpartition(".")[2] == "num_batches_tracked"}
    groups: dict[int, list[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(id(tensor), []).append(name)
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, FormatLayer):  # dense in the file, maybe
            groups.setdefault(-id(module.leading), []).append(leaf(name, "weight"))
    completed = {name: state[name].detach() for name in counters if name not in tensors}
    for names in groups.values():
        source = next((tensors[name] for name in names if name in tensors), None)
        if source is not None:
            completed |= {name: source for name in names if name not in tensors}
    return tensors | completed


def check_fit(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    layouts: Mapping[str, AnyLayout],
    replacements: Sequence[Replacement],
    path: str | os.PathLike[str],
) -> None:
    """Raise CheckpointError with what is missing, unknown or of another shape or kind of number."""
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and (is_lazy(tensor) or tensor.is_meta):
            raise CheckpointError(
                f"{path}: the model's {name!r} holds no data yet; run one forward pass of a lazy model, or call "
                "model.to_empty(device=...) on one of the meta device, before loading."
            )
    expected = _expected(model, layouts, replacements)
    different = []
    for name, layout in layouts.items():
        shape = _weight_shape(model.get_submodule(name))
        if shape != layout.shape:
            expected.pop(leaf(name, "weight"), None)
            different.append(f"the weight of {name!r} is {layout.shape} in the file and {shape} in the model")
    for name, tensor in tensors.items():
        wanted = expected.get(name)
        if wanted is not None and wanted != _signature(tensor):
            different.append(
                f"{name!r} is {_words(_signature(tensor))} in the file and {_words(wanted)} in the model"
            )
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    parts = [
        f"{len(found)} {words} ({some(found)})"
        for found, words in (
            ([repr(name) for name in missing], "missing in the file"),
            ([repr(name) for name in unknown], "unknown to the model"),
            (different, "different"),
        )
        if found
    ]
    if parts:
        advice = _FOLDED if _holds_folded(missing, unknown) else "build the model that was saved"
        raise CheckpointError(f"{path}: the file does not fit the model: {', '.join(parts)}; {advice}.")


def _holds_folded(missing: Sequence[str], unknown: Sequence[str]) -> bool:
    """Whether a layer of the model is a chain of plain layers in the file."""
    layers = [layer for layer, _, last in (name.rpartition(".") for name in missing) if last == "weight"]
    return not {leaf(layer, "0.weight") for layer in layers}.isdisjoint(unknown)


def _expected(
    model: nn.Module, layouts: Mapping[str, AnyLayout], replacements: Sequence[Replacement]
) -> dict[str, _Signature | None]:
    """What the model will hold once layers are replaced and have the ranks of the file; None is anything."""
    expected = {
        name: _signature(value) if isinstance(value, Tensor) else None
        for name, value in model.state_dict().items()
    }
    for entry in replacements:
        for name in entry.names:
            for part in ("ranks", *_written(entry.old)):
                expected.pop(leaf(name, part), None)
            expected |= {leaf(name, part): _signature(p) for part, p in _written(entry.new).items()}
    for name, layout in layouts.items():
        for part, shape in layout.tensors().items():
            expected[leaf(name, part)] = (shape, "whole" if part == "ranks" else "real")
    return expected


def _written(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that a replacement does not take over: all but the bias."""
    return {name: p for name, p in module._parameters.items() if p is not None and name != "bias"}


def _signature(tensor: Tensor) -> _Signature:
    """Shape, and the kind of numbers: between kinds nothing is converted silently."""
    kind = "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "whole"
    return tuple(tensor.shape), kind


def _words(signature: _Signature) -> str:
    shape, kind = signature
    return f"{shape} of {kind} numbers"


def _weight_shape(module: nn.Module) -> tuple[int, ...]:
    if isinstance(module, FormatLayer):
        return module.weight_shape
    weight = module._parameters.get("weight")
    return () if weight is None else tuple(weight.shape)

"""Names and shapes of a file against those of a model, before anything is changed."""

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rankfold._checkpoint._layouts import Layout, leaf
from rankfold._checkpoint._rebuild import Replacement
from rankfold._checkpoint._words import some
from rankfold._errors import CheckpointError
from rankfold.layers import FactorizedLayer

__all__ = ["check_fit", "with_what_plain_files_lack"]


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
        if isinstance(module, FactorizedLayer):  # dense in the file, maybe
            groups.setdefault(-id(module.core), []).append(leaf(name, "weight"))
    completed = {name: state[name].detach() for name in counters if name not in tensors}
    for names in groups.values():
        source = next((tensors[name] for name in names if name in tensors), None)
        if source is not None:
            completed |= {name: source for name in names if name not in tensors}
    return tensors | completed


def check_fit(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    layouts: Mapping[str, Layout],
    replacements: Sequence[Replacement],
    path: str | os.PathLike[str],
) -> None:
    """Raise CheckpointError with what is missing, unknown or of another shape or kind of number."""
    state = model.state_dict()
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and (is_lazy(tensor) or tensor.is_meta):
            raise CheckpointError(
                f"{path}: the model's {name!r} holds no data yet; run one forward pass of a lazy model, or call "
                "model.to_empty(device=...) on one of the meta device, before loading."
            )
    own = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    expected: dict[str, tuple[int, ...] | None] = dict.fromkeys(state)
    expected |= {name: tuple(tensor.shape) for name, tensor in own.items()}
    different = []
    for entry in replacements:
        for name in entry.names:
            for part in _parts(entry.old):
                expected.pop(leaf(name, part), None)
            expected |= {leaf(name, part): shape for part, shape in _parts(entry.new).items()}
    for name, layout in layouts.items():
        shape = _weight_shape(model.get_submodule(name))
        if shape != layout.shape:
            different.append(f"the weight of {name!r} is {layout.shape} in the file and {shape} in the model")
        for part, size in layout.tensors().items():
            expected[leaf(name, part)] = size
        if shape != layout.shape:
            expected.pop(leaf(name, "weight"), None)
    missing = [repr(name) for name in expected if name not in tensors]
    unknown = [repr(name) for name in tensors if name not in expected]
    for name, tensor in tensors.items():
        wanted = expected.get(name)
        if name in expected and wanted is not None and tuple(tensor.shape) != wanted:
            different.append(f"{name!r} is {tuple(tensor.shape)} in the file and {wanted} in the model")
        elif name in own and _numbers(tensor) != _numbers(own[name]):
            different.append(f"{name!r} is {tensor.dtype} in the file and {own[name].dtype} in the model")
    parts = [
        f"{len(found)} {words} ({some(found)})"
        for found, words in (
            (missing, "missing in the file"),
            (unknown, "unknown to the model"),
            (different, "different"),
        )
        if found
    ]
    if parts:
        raise CheckpointError(
            f"{path}: the file does not fit the model: {', '.join(parts)}; build the model that was saved."
        )


def _parts(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of everything that a layer writes but its bias."""
    shapes = {name: tuple(p.shape) for name, p in module._parameters.items() if p is not None}
    if isinstance(module, FactorizedLayer):
        shapes["ranks"] = (module.core.ndim,)
    return {name: shape for name, shape in shapes.items() if name != "bias"}


def _weight_shape(module: nn.Module) -> tuple[int, ...]:
    if isinstance(module, FactorizedLayer):
        return module.weight_shape
    weight = module._parameters.get("weight")
    return () if weight is None else tuple(weight.shape)


def _numbers(tensor: Tensor) -> str:
    """Kinds of numbers between which nothing is converted silently."""
    if tensor.is_complex():
        return "complex"
    return "real" if tensor.is_floating_point() else "whole"

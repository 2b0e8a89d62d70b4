"""What a file says about its factorised layers: kind, modes, ranks and dense shape of each."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._checkpoint._file import read_file
from rankfold._errors import CheckpointError
from rankfold.layers import FactorizedLayer

__all__ = [
    "Layout",
    "checked_aliases",
    "checked_layouts",
    "found_layouts",
    "layouts_of",
    "leaf",
    "read_layouts",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """One factorised layer.

    Arguments:
        kind: name of the dense class.
        modes: factorised modes.
        ranks: dimensions of the core.
        shape: of the dense weight.
    """

    kind: str
    modes: tuple[int, ...]
    ranks: tuple[int, ...]
    shape: tuple[int, ...]

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of core, factors, and the note of the ranks."""
        factors = {f"factor_{mode}": (self.shape[mode], self.ranks[mode]) for mode in self.modes}
        return {"core": self.ranks, **factors, "ranks": (len(self.ranks),)}


def leaf(layer: str, name: str) -> str:
    """Name of a layer's tensor in the model; the model may be the layer itself."""
    return f"{layer}.{name}" if layer else name


def layouts_of(model: nn.Module) -> dict[str, Layout]:
    """The factorised layers of a model under all their names.

    One whose core is computed, by gates for instance, is not: a file holds what the core is computed from, and only a
    model with the same parametrisation can take that.
    """
    return {
        name: Layout(module.dense_class.__name__, module.modes, module.ranks, module.weight_shape)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FactorizedLayer) and not parametrize.is_parametrized(module, "core")
    }


def read_layouts(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The factorised layers that a file holds: by name their kind, modes, ranks and dense shape.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    tensors, header = read_file(path)
    if header is None:
        return {}
    tensors |= checked_aliases(header, tensors, path)
    layouts = checked_layouts(header, tensors, path)
    return {
        name: {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(layout).items()
        }
        for name, layout in layouts.items()
    }


def checked_aliases(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> dict[str, Tensor]:
    """Tensors that the file holds under another name.

    Raises:
        CheckpointError: a name that is taken, or one that leads nowhere.
    """
    aliases = header.get("aliases", {})
    if not isinstance(aliases, dict):
        raise CheckpointError(
            f"{path}: the file is damaged: its list of shared tensors is none; copy or save it again."
        )
    for name, source in aliases.items():
        if not isinstance(source, str) or source not in tensors or name in tensors:
            raise CheckpointError(
                f"{path}: the file is damaged: shared tensor {name[:80]!r} leads nowhere; copy or save it again."
            )
    return {name: tensors[source] for name, source in aliases.items()}


def checked_layouts(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> dict[str, Layout]:
    """The layers of a header, each of which its tensors bear out; so no size is taken on trust.

    Raises:
        CheckpointError: a description that is none, or does not match the tensors.
    """
    described = header.get("layers", {})
    if not isinstance(described, dict):
        raise CheckpointError(
            f"{path}: the file is damaged: its list of layers is none; copy or save it again."
        )
    layouts = {}
    for name, raw in described.items():
        layout = _read(raw)
        if layout is None or any(
            key not in tensors or tuple(tensors[key].shape) != size
            for key, size in ((leaf(name, part), size) for part, size in layout.tensors().items())
        ):
            raise CheckpointError(
                f"{path}: the file is damaged: its description of layer {name[:80]!r} does not match its tensors; "
                "copy or save it again."
            )
        layouts[name] = layout
    return layouts


def _read(raw: Any) -> Layout | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        return None
    lists = [raw.get(key) for key in ("modes", "ranks", "shape")]
    for numbers in lists:
        if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
            return None
    modes, ranks, shape = (tuple(numbers) for numbers in lists if numbers is not None)
    whole = tuple(mode for mode in range(len(shape)) if mode not in modes)
    if (
        not modes
        or list(modes) != sorted(set(modes))
        or modes[-1] >= len(shape)
        or len(ranks) != len(shape)
        or any(ranks[mode] != shape[mode] for mode in whole)
        or any(not 1 <= ranks[mode] <= shape[mode] for mode in modes)
    ):
        return None
    return Layout(raw["kind"], modes, ranks, shape)


def found_layouts(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Layout]:
    """The factorised layers in a file without a description, by the names and shapes of their tensors.

    Only where the model has a layer that can be meant, for anyone may call a tensor ``core``.
    """
    layouts = {}
    for name, module in model.named_modules(remove_duplicate=False):
        core = tensors.get(leaf(name, "core"))
        if core is None or not (isinstance(module, FactorizedLayer) or "weight" in module._parameters):
            continue
        factors = {mode: tensors.get(leaf(name, f"factor_{mode}")) for mode in range(core.ndim)}
        modes = tuple(mode for mode, factor in factors.items() if factor is not None)
        rows = {mode: f.shape[0] for mode, f in factors.items() if f is not None and f.ndim == 2}
        shape = [rows.get(mode, size) for mode, size in enumerate(core.shape)]
        layout = _read({"kind": "", "modes": list(modes), "ranks": list(core.shape), "shape": shape})
        if layout is not None:
            layouts[name] = layout
    return layouts

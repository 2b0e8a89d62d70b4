"""What a file says about its factorised layers: kind, form, ranks and dense shape of each."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import count, takewhile
from math import prod
from typing import Any

from torch import Tensor, nn

from rankfold._checkpoint._file import read_file
from rankfold._errors import CheckpointError
from rankfold.convert import ConversionRule
from rankfold.formats import core_shapes
from rankfold.layers import FactorizedLayer, FormatLayer, TTMatrixLayer

__all__ = [
    "AnyLayout",
    "Layout",
    "TTMatrixLayout",
    "checked_aliases",
    "checked_layouts",
    "found_layouts",
    "layout_of",
    "layouts_of",
    "leaf",
    "read_layouts",
]


@dataclass(frozen=True, slots=True)
class Layout:
    """One layer over a Tucker tensor.

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

    @property
    def form(self) -> tuple[Any, ...]:
        """What a layer must have in common to take the tensors without being replaced."""
        return ("tucker", self.modes)

    def options(self, rule: ConversionRule) -> dict[str, Any] | None:
        """What the layer of a rule is built with, or None if it cannot have this form."""
        if rule.selectable_modes:
            return {"modes": self.modes}
        return {} if self.modes == tuple(range(len(self.shape))) else None


@dataclass(frozen=True, slots=True)
class TTMatrixLayout:
    """One layer over a TT-matrix.

    Arguments:
        kind: name of the dense class.
        out_sizes: factors of the rows.
        in_sizes: factors of the columns, as many.
        ranks: the bonds between the cores.
        shape: of the dense weight.
        format: by which descriptions of layers of this kind are known.
    """

    kind: str
    out_sizes: tuple[int, ...]
    in_sizes: tuple[int, ...]
    ranks: tuple[int, ...]
    shape: tuple[int, ...]
    format: str = field(default="tt_matrix", init=False)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the cores, and of the note of the ranks."""
        shapes = core_shapes(self.out_sizes, self.in_sizes, self.ranks)
        return {**{f"core_{k}": shape for k, shape in enumerate(shapes)}, "ranks": (len(self.ranks),)}

    @property
    def form(self) -> tuple[Any, ...]:
        """What a layer must have in common to take the tensors without being replaced."""
        return ("tt_matrix", self.out_sizes, self.in_sizes)

    def options(self, rule: ConversionRule) -> dict[str, Any] | None:
        """What the layer of a rule is built with."""
        return {"out_sizes": self.out_sizes, "in_sizes": self.in_sizes}


AnyLayout = Layout | TTMatrixLayout


def layout_of(layer: FormatLayer) -> AnyLayout:
    """What to write about a layer."""
    kind = layer.dense_class.__name__
    if isinstance(layer, TTMatrixLayer):
        return TTMatrixLayout(kind, layer.out_sizes, layer.in_sizes, layer.ranks, layer.weight_shape)
    assert isinstance(layer, FactorizedLayer)
    return Layout(kind, layer.modes, layer.ranks, layer.weight_shape)


def leaf(layer: str, name: str) -> str:
    """Name of a layer's tensor in the model; the model may be the layer itself."""
    return f"{layer}.{name}" if layer else name


def layouts_of(model: nn.Module) -> dict[str, AnyLayout]:
    """The factorised layers of a model under all their names.

    One with a part that is computed, by gates for instance, is not: a file holds what the part is computed from, and
    only a model with the same parametrisation can take that.
    """
    return {
        name: layout_of(module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FormatLayer) and not module.computed
    }


def read_layouts(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The factorised layers that a file holds: by name their kind, ranks and dense shape, and modes or sizes.

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
) -> dict[str, AnyLayout]:
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


def _read(raw: Any) -> AnyLayout | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        return None
    if raw.get("format") == "tt_matrix":
        return _read_tt_matrix(raw)
    numbers = _numbers(raw, ("modes", "ranks", "shape"))
    if numbers is None:
        return None
    modes, ranks, shape = numbers
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


def _read_tt_matrix(raw: dict[str, Any]) -> TTMatrixLayout | None:
    numbers = _numbers(raw, ("out_sizes", "in_sizes", "ranks", "shape"))
    if numbers is None:
        return None
    out, inner, ranks, shape = numbers
    if (
        len(out) < 2
        or len(inner) != len(out)
        or len(ranks) != len(out) - 1
        or shape != (prod(out), prod(inner))
        or 0 in (*out, *inner, *ranks)
    ):
        return None
    return TTMatrixLayout(raw["kind"], out, inner, ranks, shape)


def _numbers(raw: dict[str, Any], keys: tuple[str, ...]) -> list[tuple[int, ...]] | None:
    """Lists of whole numbers from 0, or None if one is something else."""
    lists = [raw.get(key) for key in keys]
    for numbers in lists:
        if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
            return None
    return [tuple(numbers) for numbers in lists if numbers is not None]


def found_layouts(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, AnyLayout]:
    """The factorised layers in a file without a description, by the names and shapes of their tensors.

    Only where the model has a layer that can be meant, for anyone may call a tensor ``core``.
    """
    layouts = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if not (isinstance(module, FormatLayer) or "weight" in module._parameters):
            continue
        numbered = (tensors.get(leaf(name, f"core_{k}")) for k in count())
        cores = list(takewhile(lambda core: core is not None and core.ndim == 4, numbered))
        layout = _read(_described(cores))
        if layout is not None:
            layouts[name] = layout
        core = tensors.get(leaf(name, "core"))
        if core is None:
            continue
        factors = {mode: tensors.get(leaf(name, f"factor_{mode}")) for mode in range(core.ndim)}
        modes = tuple(mode for mode, factor in factors.items() if factor is not None)
        rows = {mode: f.shape[0] for mode, f in factors.items() if f is not None and f.ndim == 2}
        shape = [rows.get(mode, size) for mode, size in enumerate(core.shape)]
        layout = _read({"kind": "", "modes": list(modes), "ranks": list(core.shape), "shape": shape})
        if layout is not None:
            layouts[name] = layout
    return layouts


def _described(cores: list[Any]) -> dict[str, Any]:
    """The description of a TT-matrix with these cores, if they are some."""
    out, inner = ([core.shape[axis] for core in cores] for axis in (1, 2))
    return {
        "kind": "",
        "format": "tt_matrix",
        "out_sizes": out,
        "in_sizes": inner,
        "ranks": [core.shape[3] for core in cores[:-1]],
        "shape": [prod(out), prod(inner)],
    }

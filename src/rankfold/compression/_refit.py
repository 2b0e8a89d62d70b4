"""Fit factorised layers once more, in the order of computation, to what the dense layers give.

What a layer is given has changed by the truncation of those before it. The weight that then comes closest to the dense
outputs is the least-squares solution, and its weighted truncation the best of the rank (reduced-rank regression,
Izenman 1975; for networks Zhang et al. 2016, "Accelerating very deep convolutional networks", section 2.3).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.compression._moments import Moments, call_model
from rankfold.compression._patches import for_products, is_lookup, patches
from rankfold.compression._weighted import CalibratedWeight
from rankfold.convert import same_noise
from rankfold.layers import FactorizedLayer
from rankfold.linalg import mode_product
from rankfold.ranks import Choice

__all__ = ["Refit", "can_refit", "check_can_be_read_again", "refit_layers"]

# Pull towards the dense weight, relative to the mean second moment of the inputs: without it directions that the
# calibration data hardly show would be fitted to noise. It grows where there are fewer positions than inputs.
_PULL = 0.01


@dataclass(frozen=True, slots=True)
class Refit:
    """A layer to fit.

    Arguments:
        name: of both layers in their models.
        dense: the layer as it was, in the dense model.
        layer: the factorised layer.
        weight: in the norm of calibration with the dense model.
    """

    name: str
    dense: nn.Module
    layer: FactorizedLayer
    weight: CalibratedWeight

    @property
    def moments(self) -> Moments:
        """Of calibration with the dense model."""
        return self.weight.moments


def can_refit(layer: FactorizedLayer, dense: nn.Module, moments: Moments) -> bool:
    """Whether the layer maps inputs of which there are second moments; groups see different inputs."""
    return not is_lookup(dense) and layer.groups == 1 and moments.inputs.ndim == 2


@torch.no_grad()
def refit_layers(
    model: nn.Module,
    dense: nn.Module,
    layers: Sequence[Refit],
    batches: Iterable[Any],
    on_layer: Callable[[int, int], None] | None = None,
) -> None:
    """Fit layers in the order in which the model calls them; the data are read once for each.

    Arguments:
        model: the factorised model, changed in place.
        dense: the dense model.
        layers: what to fit; those that the data do not reach stay.
        batches: calibration data that can be read again and again.
        on_layer: called with the number of layers done and the number of all.
    """
    flags = {module: module.training for network in (model, dense) for module in network.modules()}
    model.eval()
    dense.eval()
    try:
        ordered = _in_order(dense, layers, batches)
        for done, each in enumerate(ordered):
            _refit(model, dense, each, batches)
            if on_layer is not None:
                on_layer(done + 1, len(ordered))
    finally:
        for module, flag in flags.items():
            module.training = flag


def _in_order(dense: nn.Module, layers: Sequence[Refit], batches: Iterable[Any]) -> list[Refit]:
    """The layers that the first batch reaches, in the order of their first calls."""
    by_module = {each.dense: each for each in layers}
    called: dict[nn.Module, None] = {}
    handles = [
        module.register_forward_pre_hook(lambda layer, _: called.setdefault(layer)) for module in by_module
    ]
    try:
        first = next(iter(batches), None)
        if first is not None:
            call_model(dense, first)
    finally:
        for handle in handles:
            handle.remove()
    return [by_module[module] for module in called]


def _refit(model: nn.Module, dense: nn.Module, each: Refit, batches: Iterable[Any]) -> None:
    given: dict[nn.Module, list[Tensor]] = {each.dense: [], each.layer: []}

    def note(module: nn.Module, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        # A copy, for what follows may change the input in place.
        given[module].append((arguments[0] if arguments else options["input"]).clone())

    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in given]
    whole = each.moments.joint is not None
    size = len(each.moments.inputs) * (len(each.moments.window) if whole else 1)
    now = torch.zeros(size, size, dtype=torch.float64, device=each.moments.inputs.device)
    cross, positions = torch.zeros_like(now), 0
    try:
        for batch in batches:
            with same_noise(dense):
                call_model(dense, batch)
            call_model(model, batch)
            shapes = [[tuple(tensor.shape) for tensor in inputs] for inputs in given.values()]
            if shapes[0] != shapes[1]:
                return  # experts, say, that get other samples now: inputs do not correspond
            for before, after in zip(*given.values(), strict=True):
                for old, new in zip(patches(each.dense, before), patches(each.dense, after), strict=True):
                    rows = [_rows(part, whole) for part in (old, new)]
                    wide = torch.promote_types(rows[0].dtype, rows[1].dtype)
                    with torch.autocast(old.device.type, enabled=False):
                        now += (rows[1].mT @ rows[1]).double()
                        cross += (rows[0].to(wide).mT @ rows[1].to(wide)).double()
                    positions += len(rows[1])
            for inputs in given.values():
                inputs.clear()
    finally:
        for handle in handles:
            handle.remove()
    if positions:
        _fit(each, now / positions, cross / positions, positions)


def _rows(part: Tensor, whole: bool) -> Tensor:
    rows = for_products(part)
    return rows.flatten(1) if whole else rows.transpose(1, 2).flatten(0, 1)


def _fit(each: Refit, now: Tensor, cross: Tensor, positions: int) -> None:
    """Replace the layer's weight by the truncation of the weight that maps what it is given now to the old outputs."""
    weight = each.dense.weight
    assert isinstance(weight, Tensor)
    incoming, outgoing = each.moments.incoming, each.moments.outgoing
    pull = float(now.diagonal().mean()) * (_PULL + len(now) / positions)
    if pull == 0 or not bool(now.isfinite().all() & cross.isfinite().all()):
        return
    eye = torch.eye(len(now), dtype=now.dtype, device=now.device)
    # The minimum of |W x - T y|^2 + pull |W - T|^2 over T, for old inputs x and new inputs y.
    change = torch.linalg.solve(now + pull * eye, cross.mT + pull * eye)
    old, moments = weight.detach().double(), each.moments
    if moments.joint is not None and len(now) * old.shape[outgoing] == old.numel():
        channels, window = len(moments.inputs), len(moments.window)
        target = (old.movedim(outgoing, 0).flatten(1) @ change.mT).reshape(old.movedim(outgoing, 0).shape)
        target = target.movedim(0, outgoing)
        blocks = now.reshape(channels, window, channels, window)
        moments = replace(moments, joint=now, inputs=blocks.diagonal(dim1=1, dim2=3).sum(-1))
    else:
        target = mode_product(old, change, incoming)
        moments = replace(moments, inputs=now, joint=None)
    layer = each.layer
    choice = Choice(layer.modes, tuple(layer.ranks[mode] for mode in layer.modes))
    tucker = each.weight.moved(target, moments).tucker(choice).rotate()
    if not all(bool(tensor.isfinite().all()) for tensor in tucker.tensors):
        return
    layer.assign(tucker.to(dtype=weight.dtype))
    torch.clear_autocast_cache()  # which holds what the layer was before


def check_can_be_read_again(batches: Iterable[Any]) -> None:
    """Raise OptionError for an iterator, which would be empty after the first pass."""
    if isinstance(batches, Iterator):  # to call iter would start the workers of a DataLoader
        raise OptionError(
            f"compress: calibration is a {type(batches).__name__}, which can be read only once; pass a list or a "
            "DataLoader, or refit=False."
        )

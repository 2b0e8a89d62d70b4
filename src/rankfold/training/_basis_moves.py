"""Bases under the inner optimiser: where one gradient gives a whole step, K_i = U_i S_i moves as the cores do.

Only with moments of its own does a basis turn as fast as a core changes: coordinates that are new in a widened core
have no momentum from the steps before, for the truncation took theirs. The columns of K_i are coordinates in the row
space of Mat_i(W), whose basis is ``(⊗ U_j) Q_i``. Moments of K_i stay in the coordinates of the step that they come
from, beside their frame ``Ten_i(Q_iᵀ)``, which turns with the core; the next step compares it with its own.

Axes: n rows of a basis, r its rank in the step before, s its rank now, N product of the other ranks.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold.formats import Tucker
from rankfold.layers import FactorizedLayer
from rankfold.linalg import fold_mode, mode_products, product, unfold
from rankfold.training._transport import TransportRule, rotate_state
from rankfold.training.integrators import Gradients, basis_gradients

__all__ = ["FRAME", "inner_moves", "layer_gradients", "turn_frames", "turned_frame"]

#: Key of the frame in the state of a basis.
FRAME = "frame"

State = dict[str, Any]


def layer_gradients(layer: FactorizedLayer) -> Gradients:
    """What the backward pass left on a layer."""
    core = layer.core.grad
    factors = {mode: factor.grad for mode, factor in layer.factors.items() if factor.grad is not None}
    assert core is not None
    return Gradients(core, factors)


def inner_moves(
    inner: Optimizer, rule: TransportRule, layers: Sequence[FactorizedLayer]
) -> tuple[list[Tucker], list[Gradients]]:
    """One step of the inner optimiser along dL/dC, dL/dK_i and the gradients of the dense parameters.

    A basis enters as the increment of K_i, from zero, so that weight decay leaves it alone.

    Arguments:
        inner: lists cores and dense parameters, which it moves; the bases join them for this step.
        rule: of its state.
        layers: with gradients.

    Returns:
        What the layers held before, and gradients along which a step of length 1 goes where the inner optimiser went.
    """
    tuckers = [Tucker(layer.core.data.clone(), layer.tucker.factors) for layer in layers]
    found = basis_gradients(tuckers, [layer_gradients(layer) for layer in layers])
    places = [(index, mode) for index, parts in enumerate(found) for mode in parts]
    bases = [layers[index].factors[mode] for index, mode in places]
    frames = []
    for basis, (index, mode) in zip(bases, places, strict=True):
        part, sizes = found[index][mode], list(tuckers[index].core.shape)
        sizes[mode] = part.orthonormal.shape[1]
        frames.append(fold_mode(part.orthonormal.mT, mode, tuple(sizes)).to(basis.dtype).contiguous())
        if state := inner.state.get(basis):
            # With its frame, so that the next step can go on from here if this one fails.
            inner.state[basis] = {**_in_frame(state, rule, basis, mode, frames[-1]), FRAME: frames[-1]}
    with _increments(inner, layers, bases):
        for basis, (index, mode) in zip(bases, places, strict=True):
            basis.grad = found[index][mode].gradient.to(basis.dtype).contiguous()
        inner.step()
        moves: list[dict[int, Tensor]] = [{} for _ in layers]
        for basis, frame, (index, mode) in zip(bases, frames, places, strict=True):
            scale = found[index][mode].scale
            moves[index][mode] = -product(basis.data.to(scale.dtype), scale.mT)
            if inner.state.get(basis):
                inner.state[basis][FRAME] = frame
    return tuckers, [
        Gradients(tucker.core - layer.core.data, move)
        for tucker, layer, move in zip(tuckers, layers, moves, strict=True)
    ]


def turn_frames(
    states: MutableMapping[Tensor, State], layer: FactorizedLayer, rotations: Mapping[int, Tensor]
) -> None:
    """Take the frames of a layer's bases along when its core becomes ``core x_j M_j``.

    Arguments:
        states: of the inner optimiser.
        layer: any.
        rotations: M_j (new rank x rank, old coordinates first) of each mode that turned.
    """
    for mode, basis in layer.factors.items():
        if FRAME in (state := states.get(basis, {})):
            states[basis] = {**state, FRAME: turned_frame(state[FRAME], mode, rotations)}


def turned_frame(frame: Tensor, mode: int, rotations: Mapping[int, Tensor]) -> Tensor:
    """A frame in the new coordinates of the other modes; see :func:`turn_frames`."""
    others = {
        other: rotation[:, : frame.shape[other]].to(frame.dtype)
        for other, rotation in rotations.items()
        if other != mode
    }
    return mode_products(frame, others).contiguous()


def _in_frame(state: State, rule: TransportRule, basis: Tensor, mode: int, frame: Tensor) -> State:
    """Moments of K in the coordinates of this step; a direction that is new in the row space has none."""
    old = state[FRAME]
    state = {name: value for name, value in state.items() if name != FRAME}
    # Coordinates of the core that were added since then come last.
    common = [slice(min(sizes)) for sizes in zip(old.shape, frame.shape, strict=True)]
    common[mode] = slice(None)
    turn = product(unfold(frame[tuple(common)], mode), unfold(old[tuple(common)], mode).mT)  # (s, r)
    before = basis.new_empty(()).expand(basis.shape[0], turn.shape[1])
    turned = rotate_state(state, rule, before, {1: turn})
    # One layout, so that a resumed run, whose state comes from a file, sums in the same order.
    return {
        name: value.contiguous() if isinstance(value, Tensor) else value for name, value in turned.items()
    }


@contextmanager
def _increments(
    inner: Optimizer, layers: Sequence[FactorizedLayer], bases: Sequence[nn.Parameter]
) -> Iterator[None]:
    """Inside, the inner optimiser lists the bases, each beside its core, and they hold zeros."""
    listed = [group["params"] for group in inner.param_groups]
    held = [basis.data for basis in bases]
    try:
        for basis in bases:
            basis.data = torch.zeros_like(basis.data)
        for group in inner.param_groups:
            members = {id(parameter) for parameter in group["params"]}
            own = [basis for layer in layers if id(layer.core) in members for basis in layer.factors.values()]
            group["params"] = [*group["params"], *own]
        yield
    finally:
        for basis, data in zip(bases, held, strict=True):
            basis.data = data
        for group, parameters in zip(inner.param_groups, listed, strict=True):
            group["params"] = parameters

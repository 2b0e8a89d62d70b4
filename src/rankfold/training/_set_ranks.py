"""Change the ranks of a live model, together with the state of its optimiser."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from rankfold._errors import OptimizerError, RankError
from rankfold.formats import full_ranks
from rankfold.layers import FactorizedLayer
from rankfold.ranks import RankPolicy
from rankfold.training._autocast import full_precision
from rankfold.training._basis_moves import FRAME, turned_frame
from rankfold.training._optimizer import TDLRT
from rankfold.training._rank_targets import rank_targets
from rankfold.training._records import RankRecord, parameters_of
from rankfold.training._resize import Resized, resized
from rankfold.training._setup import DEFECT_IN_EPS
from rankfold.training._transport import TransportRule, pad_state, rotate_state, set_state, transport_rule

__all__ = ["set_ranks"]

Ranks = RankPolicy | int | float | Sequence[int]


@torch.inference_mode(False)  # tensors made in inference mode could never be trained again
@torch.no_grad()
def set_ranks(
    model: nn.Module,
    ranks: Ranks | Mapping[Any, Ranks],
    *,
    optimizer: Optimizer | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, RankRecord]:
    """Give factorised layers other ranks, up or down, in place.

    A mode that shall be narrower is cut by HOSVD, the best approximation for a matrix and within sqrt(d) of it for
    d modes. A mode that shall be wider gets random orthonormal directions and zeros in the core: the function stays
    the same, to rounding. Parameters keep their identity and shared weights change together; the gradients of
    changed layers are cleared. Nothing is changed if an error is raised.

    The state of the optimiser moves as it does when :class:`rankfold.TDLRT` changes ranks: momentum turns with the
    coordinates, second moments with the squares of the turning; what is new starts without momentum and at the mean
    of the second moments. Where nothing is cut, the next step of the old coordinates is the one they would have
    made. An optimiser that is not passed here cannot go on.

    In the middle of a cycle of TDLRT its pending truncation comes first. Its ``max_ranks`` and ``min_rank`` bound
    the ranks here as well. Its later truncations are free to cut again: of new directions they keep what has grown
    above the tolerance, unless the integrator is ``'fixed'``.

    Arguments:
        model: a model with factorised layers.
        ranks: for all layers, or by layer: a rank policy, a whole number (:class:`rankfold.Fixed`), a float
            (:class:`rankfold.Fraction`), or one rank per factorised mode, each in 1..n_i. Keys are selectors as
            :func:`rankfold.factorize` takes them; where several match, the last one counts.
        optimizer: TDLRT, or a ``torch.optim`` class made known with :func:`rankfold.register_transport` (SGD, Adam
            and AdamW are), over any of the parameters.
        generator: source of the random directions; None is torch's global one. Of several processes that train one
            model with TDLRT all take the directions of the first; with another optimiser give each a generator of the
            same seed.

    Returns:
        For each layer a :class:`RankRecord` with the ranks before and after and what was cut.

    Raises:
        SelectorError: no factorised layer, or a selector that matches none.
        RankError: ranks that a layer or the optimiser does not allow.
        OptionError: what is neither ranks nor policy.
        OptimizerError: an optimiser of another model, or one whose state cannot be moved.
        NonFiniteError: a core that must be cut holds NaN or infinity.

    Example:
        >>> import torch, rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(64, 10))
        >>> _ = rf.factorize(model, 6)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> _ = rf.set_ranks(model, {"0": (4, 8), "2": 9}, optimizer=optimizer)
        >>> model[0].ranks, model[2].ranks
        ((4, 8, 3, 3), (9, 9))
    """
    targets = rank_targets(model, ranks)
    tdlrt = optimizer if isinstance(optimizer, TDLRT) else None
    trained = {} if tdlrt is None else {id(layer.core): name for name, layer in tdlrt.layers.items()}
    rule = None if optimizer is None else _rule(model, optimizer)
    for name, (layer, wanted) in targets.items():
        _check_padding(name, layer, wanted)
        if tdlrt is not None and id(layer.core) in trained:
            _check_limits(tdlrt, trained[id(layer.core)], name, layer, wanted)
    if tdlrt is not None:
        tdlrt.truncate()
    plans = []
    for name, (layer, wanted) in targets.items():
        by_mode = dict(zip(layer.modes, wanted, strict=True))
        if any(layer.ranks[mode] != rank for mode, rank in by_mode.items()):
            with full_precision(layer.core.device.type):
                new = resized(
                    layer.tucker,
                    by_mode,
                    # Who knows core and factors apart keeps those that need not turn.
                    turn_all=optimizer is None or id(layer.core) in trained,
                    generator=generator,
                    defect_allowed=DEFECT_IN_EPS * torch.finfo(layer.core.dtype).eps,
                    zero_row=getattr(layer, "padding_idx", None),
                )
            states = {} if optimizer is None or rule is None else _moved(layer, new, optimizer, rule)
            plans.append((name, layer, new, states))
    step = 0 if tdlrt is None else tdlrt.steps_done
    records = {name: _record(name, layer, layer.ranks, 0.0, step) for name, (layer, _) in targets.items()}
    for name, layer, new, states in plans:
        before = layer.ranks
        layer.assign(new.tucker)
        if optimizer is not None:
            for parameter, state in states.items():
                set_state(optimizer.state, parameter, state)
        records[name] = _record(name, layer, before, new.error, step)
    if tdlrt is not None:
        tdlrt._follow_ranks()
    return records


def _rule(model: nn.Module, optimizer: Optimizer) -> TransportRule | None:
    """The rule of an optimiser that trains this model; None if it has no state to move."""
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise OptimizerError(
            "set_ranks: the optimiser trains no parameter of this model; pass the one that does, or None."
        )
    if isinstance(optimizer, TDLRT):
        return optimizer.transport
    return transport_rule(type(optimizer), "set_ranks") if optimizer.state else None


def _check_limits(
    optimizer: TDLRT, key: str, name: str, layer: FactorizedLayer, ranks: tuple[int, ...]
) -> None:
    most = optimizer.max_ranks[key]
    least = [min(optimizer.min_rank, full) for full in full_ranks(layer.weight_shape, layer.modes)]
    if any(not low <= rank <= high for low, rank, high in zip(least, ranks, most, strict=True)):
        raise RankError(
            f"set_ranks: layer {name!r} was to get ranks {ranks}, but TDLRT keeps them from {tuple(least)} to {most}; "
            "stay inside, or change the optimiser's min_rank or max_ranks first."
        )


def _check_padding(name: str, layer: FactorizedLayer, ranks: tuple[int, ...]) -> None:
    rows = layer.weight_shape[0]
    if getattr(layer, "padding_idx", None) is not None and ranks[0] >= rows:
        raise RankError(
            f"set_ranks: layer {name!r} was to get rank {ranks[0]}, but of its {rows} rows the padding row is zero; "
            f"pass at most {rows - 1}."
        )


def _moved(
    layer: FactorizedLayer, new: Resized, optimizer: Optimizer, rule: TransportRule
) -> dict[nn.Parameter, dict[str, Any]]:
    """New state of the core and, where the optimiser has any, of the factors."""
    states = {}
    if state := optimizer.state.get(layer.core):
        turned = rotate_state(state, rule, layer.core, new.core_gradients) if new.core_gradients else state
        states[layer.core] = pad_state(turned, rule, new.cut_core, dict(enumerate(new.tucker.ranks)))
    for mode, factor in layer.factors.items():
        if state := optimizer.state.get(factor):
            if FRAME in state:  # of TDLRT, whose moments of a basis lie in coordinates of their own
                states[factor] = {**state, FRAME: turned_frame(state[FRAME], mode, new.core_gradients)}
                continue
            if mode in new.factor_gradients:
                state = rotate_state(state, rule, factor, {1: new.factor_gradients[mode]})
            narrow = factor.data[:, :1].expand(-1, new.cut_core.shape[mode])
            states[factor] = pad_state(state, rule, narrow, {1: new.tucker.ranks[mode]})
    return states


def _record(
    name: str, layer: FactorizedLayer, before: tuple[int, ...], error: float, step: int
) -> RankRecord:
    return RankRecord(
        step=step,
        layer=name,
        ranks_before=before,
        ranks=layer.ranks,
        modes=tuple(layer.modes),
        parameters=parameters_of(layer),
        truncation_error=error,
        orthonormality_defect=float(layer.tucker.orthonormality_defect()),
        rank_capped=False,
    )

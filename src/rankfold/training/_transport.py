"""Move the state of an inner optimiser when the coordinates of a core change.

A first moment is a tensor in the core's coordinates and turns with them. A second moment is a field of
variances: where coordinates turn by P, variances mix with weights P∘P (exact for uncorrelated entries).
Rotating its square root instead lets positive entries cancel, and the next steps become too long.
"""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import OptimizerError
from rankfold._registry import Registry
from rankfold.layers._resize import laid_out_as
from rankfold.linalg import mode_products

__all__ = [
    "TRANSPORT_RULES",
    "TransportRule",
    "pad_state",
    "register_transport",
    "rotate_state",
    "set_state",
    "transport_rule",
]


@dataclass(frozen=True, slots=True)
class TransportRule:
    """What the state tensors of one optimiser class are.

    Arguments:
        name: name of the class.
        optimizer: the class; subclasses follow the same rule.
        first: names of first moments (anything linear in the gradients).
        second: names of second moments (anything linear in the squared gradients).
    """

    name: str
    optimizer: type[torch.optim.Optimizer]
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()


TRANSPORT_RULES: Registry[TransportRule] = Registry(
    "transport rule",
    TransportRule("SGD", torch.optim.SGD, first=("momentum_buffer",)),
    TransportRule("Adam", torch.optim.Adam, first=("exp_avg",), second=("exp_avg_sq", "max_exp_avg_sq")),
    TransportRule("AdamW", torch.optim.AdamW, first=("exp_avg",), second=("exp_avg_sq", "max_exp_avg_sq")),
)


def register_transport(
    optimizer: type[torch.optim.Optimizer], *, first: tuple[str, ...] = (), second: tuple[str, ...] = ()
) -> None:
    """Say what the state of another optimiser is, so that :class:`rankfold.TDLRT` can use it.

    Arguments:
        optimizer: the class.
        first: state names that are linear in the gradients, such as momentum.
        second: state names that are linear in the squared gradients, such as Adam's ``exp_avg_sq``.

    Raises:
        OptionError: a rule for a class of this name is registered already.

    Example:
        >>> import torch
        >>> register_transport(torch.optim.RMSprop, first=("momentum_buffer", "grad_avg"), second=("square_avg",))
    """
    TRANSPORT_RULES.add(TransportRule(optimizer.__name__, optimizer, first, second))


def transport_rule(optimizer: type[torch.optim.Optimizer], where: str = "TDLRT") -> TransportRule:
    """The rule of a class or of its nearest base class; ``where`` begins the message if there is none.

    Raises:
        OptimizerError: no rule is known; the message says how to add one.
    """
    if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
        raise OptimizerError(
            f"TDLRT: inner_optimizer_class must be a class of optimisers, got {optimizer!r}; pass one such as "
            "torch.optim.SGD."
        )
    by_class = {rule.optimizer: rule for rule in TRANSPORT_RULES.values()}
    for base in optimizer.__mro__:
        if base in by_class:
            return by_class[base]
    raise OptimizerError(
        f"{where}: it is not known how the state of {optimizer.__name__} follows a change of basis; known are "
        f"{', '.join(sorted(TRANSPORT_RULES))}; say what its state is with rankfold.register_transport("
        f"{optimizer.__name__}, first=(...), second=(...))."
    )


def pad_state(
    state: dict[str, object], rule: TransportRule, old: Tensor, ranks: Mapping[int, int]
) -> dict[str, object]:
    """State for a core that was zero-padded to wider ranks: zero momentum, the mean of the second moments.

    A zero second moment would make the first step along the new directions as long as Adam allows.

    Arguments:
        state: the inner optimiser's state of the core.
        rule: which entries are moments.
        old: the core before padding.
        ranks: new rank of each mode that was widened.

    Returns:
        A new state dictionary.

    Raises:
        OptimizerError: an entry shaped like the core that the rule does not name.
    """
    padding = [ranks.get(mode, size) - size for mode, size in enumerate(old.shape)]
    flat = [part for pad in reversed(padding) for part in (0, pad)]

    def linear(value: Tensor) -> Tensor:
        return torch.nn.functional.pad(value, flat)

    def squared(value: Tensor) -> Tensor:
        inside = torch.nn.functional.pad(torch.ones_like(value, dtype=torch.bool), flat)
        # The mean in one order, however the state is laid out: one that comes from a file is row-major.
        return torch.where(inside, torch.nn.functional.pad(value, flat), value.contiguous().mean())

    return _mapped(state, rule, old, linear, squared)


def rotate_state(
    state: dict[str, object], rule: TransportRule, old: Tensor, rotations: Mapping[int, Tensor]
) -> dict[str, object]:
    """State for a core that became ``core x_i M_i``: first moments likewise, second moments with ``M_i ∘ M_i``.

    Arguments:
        state: the inner optimiser's state of the core.
        rule: which entries are moments.
        old: the core before the rotation.
        rotations: M_i (new rank x old rank) of each mode that turned.

    Returns:
        A new state dictionary.

    Raises:
        OptimizerError: an entry shaped like the core that the rule does not name.
    """

    def turned(value: Tensor, power: int) -> Tensor:
        return mode_products(
            value, {m: rotation.to(value.dtype) ** power for m, rotation in rotations.items()}
        )

    return _mapped(state, rule, old, lambda value: turned(value, 1), lambda value: turned(value, 2))


def set_state(
    states: MutableMapping[Tensor, dict[str, Any]], core: Tensor, state: dict[str, Any] | None
) -> None:
    """Give a core, or any parameter, its state in the layout of its values, or take it away."""
    if state is None:
        states.pop(core, None)
    else:
        states[core] = {
            name: laid_out_as(core, value) if isinstance(value, Tensor) else value
            for name, value in state.items()
        }


def _mapped(
    state: dict[str, object],
    rule: TransportRule,
    old: Tensor,
    linear: Callable[[Tensor], Tensor],
    squared: Callable[[Tensor], Tensor],
) -> dict[str, object]:
    result = {}
    for name, value in state.items():
        if name in rule.first and isinstance(value, Tensor):
            result[name] = linear(value)
        elif name in rule.second and isinstance(value, Tensor):
            result[name] = squared(value)
        elif isinstance(value, Tensor) and value.ndim > 0 and value.shape == old.shape:
            raise OptimizerError(
                f"TDLRT: the optimiser's state {name!r} has the shape of the core but is not named in the rule "
                f"for {rule.name}; register its class with rankfold.register_transport(..., first=..., second=...)."
            )
        else:
            result[name] = value
    return result

"""The next policy to try: the same one with a little more room, or a little less."""

from collections.abc import Callable, Mapping

from rankfold.convert import POLICIES

__all__ = ["changed_policy", "faster_policy"]

_Step = Callable[[float], float]


def _wider(share: float) -> float:
    return min(1.5 * share, (1 + share) / 2)


def _narrower(share: float) -> float:
    return 0.7 * share


# By policy and option: how to keep more, and how to keep less. Steps that a reader can follow, a half more or a third
# less, that stay inside what is allowed; choice of this library.
_STEPS: Mapping[tuple[str, str], tuple[_Step, _Step]] = {
    ("budget", "params"): (_wider, _narrower),
    ("budget", "flops"): (_wider, _narrower),
    ("budget", "latency"): (_wider, _narrower),
    ("fraction", "share"): (_wider, _narrower),
    ("fixed", "rank"): (
        lambda rank: max(round(1.5 * rank), rank + 1),
        lambda rank: max(round(0.7 * rank), 1),
    ),
    ("energy", "share"): (lambda share: (1 + share) / 2, lambda share: max(1.5 * share - 0.5, 0.7 * share)),
    ("tolerance", "tolerance"): (_narrower, _wider),
    ("latency", "speedup"): (lambda times: (1 + times) / 2, lambda times: 1.5 * times - 0.5),
}


def changed_policy(policy: str, *, more: bool) -> str | None:
    """A policy whose first option keeps more or less; None where it has no option that is known.

    Arguments:
        policy: one line of text, as ``parse_policy`` takes it.
        more: whether more is to be kept.

    Example:
        >>> changed_policy("budget params=0.5 faster=1", more=False), changed_policy("energy=0.9", more=True)
        ('budget params=0.35 faster=1', 'energy=0.95')
    """
    first, *rest = policy.split() or [""]
    name, equals, value = first.partition("=")
    if name not in POLICIES:
        return None
    if equals:
        option, *_ = (*POLICIES[name].options, "")
        changed = _stepped(name, option, value, more)
        return None if changed is None else " ".join((f"{name}={changed}", *rest))
    for place, word in enumerate(rest):
        option, _, value = word.partition("=")
        changed = _stepped(name, option, value, more)
        if changed is not None:
            return " ".join((name, *rest[:place], f"{option}={changed}", *rest[place + 1 :]))
    return None


def _stepped(name: str, option: str, value: str, more: bool) -> str | None:
    steps = _STEPS.get((name, option))
    try:
        number = float(value)
    except ValueError:
        return None
    if steps is None or not 0 < number < 1e6:
        return None
    found = steps[0 if more else 1](number)
    changed = str(found) if isinstance(found, int) else f"{found:.3g}"
    return None if float(changed) == number else changed


def faster_policy(policy: str, share: float) -> str | None:
    """A budget that leaves out ranks at which a layer is not faster; None where the policy measures already.

    Arguments:
        policy: one line of text.
        share: of the parameters that are left, for policies without a budget.

    Example:
        >>> faster_policy("budget params=0.5", 0.49), faster_policy("tolerance=0.1", 0.49)
        ('budget params=0.5 faster=1', 'budget params=0.49 faster=1')
    """
    name, *rest = policy.split() or [""]
    if name == "budget":
        measured = any(word.startswith(("faster=", "latency=")) for word in rest)
        return None if measured else f"{policy} faster=1"
    return None if name.startswith("latency") or not 0 < share < 1 else f"budget params={share:.2g} faster=1"

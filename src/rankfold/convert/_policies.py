"""The rank policies by name, and policies from one line of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rankfold._errors import OptionError
from rankfold._registry import Registry
from rankfold.convert._budget import Budget
from rankfold.convert._latency import Latency
from rankfold.ranks import EVBMF, Energy, Fixed, Fraction, RankPolicy, Tolerance

__all__ = ["POLICIES", "PolicyInfo", "parse_policy"]


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """A rank policy that text can name.

    Arguments:
        name: as in ``energy=0.9``.
        build: makes the policy from example inputs of the model, which most ignore, and its options.
        options: their names; the first may be given without it.
        example: text that makes one.
        summary: what the ranks are.
        source: where the method is from.
        optional: whether it can do without options.
    """

    name: str
    build: Callable[..., RankPolicy]
    options: tuple[str, ...]
    example: str
    summary: str
    source: str
    optional: bool = False


def _without_inputs(policy: Callable[..., RankPolicy]) -> Callable[..., RankPolicy]:
    return lambda example_inputs, **options: policy(**options)


def _budget(example_inputs: Any, **options: float) -> Budget:
    faster = bool(options.pop("faster", 0))
    needless = "params" in options and not faster
    return Budget(**options, faster=faster, example_inputs=None if needless else example_inputs)


POLICIES: Registry[PolicyInfo] = Registry(
    "rank policy",
    PolicyInfo(
        "fixed",
        _without_inputs(Fixed),
        ("rank",),
        "fixed=8",
        "the same rank for every layer and mode",
        "",
    ),
    PolicyInfo(
        "fraction",
        _without_inputs(Fraction),
        ("share",),
        "fraction=0.5",
        "a share of the full rank of each mode",
        "",
    ),
    PolicyInfo(
        "energy",
        _without_inputs(Energy),
        ("share",),
        "energy=0.9",
        "the smallest ranks that keep a share of the squared norm of each weight",
        "",
    ),
    PolicyInfo(
        "tolerance",
        _without_inputs(Tolerance),
        ("tolerance",),
        "tolerance=0.1",
        "the smallest ranks within a relative error of each weight",
        "",
    ),
    PolicyInfo(
        "evbmf",
        _without_inputs(EVBMF),
        (),
        "evbmf",
        "what stands out of the noise of each weight, by variational Bayes",
        "Nakajima et al. 2013",
        optional=True,
    ),
    PolicyInfo(
        "budget",
        _budget,
        ("params", "flops", "latency", "faster"),
        "budget params=0.2",
        "the least error of all weights together within parameters, multiply-adds or time of the whole model",
        "Everett 1963",
    ),
    PolicyInfo(
        "latency",
        lambda example_inputs, **options: Latency(example_inputs=example_inputs, **options),
        ("speedup", "quantum"),
        "latency speedup=1.2",
        "the largest ranks at which each layer is as fast as asked for, by measurement",
        "",
        optional=True,
    ),
)


def parse_policy(text: str, example_inputs: Any = None) -> RankPolicy:
    """Make a rank policy from one line of text.

    Arguments:
        text: ``NAME``, ``NAME=VALUE`` or ``NAME OPTION=VALUE ...``; the value without option is that of the first.
        example_inputs: for policies that measure: what the model is called with.

    Returns:
        The policy.

    Raises:
        OptionError: an unknown name or option, what is no number, or a number out of range.

    Example:
        >>> parse_policy("energy=0.9"), parse_policy("energy share=0.9"), parse_policy("evbmf")
        (Energy(share=0.9), Energy(share=0.9), EVBMF())
    """
    first, *rest = text.split() or [""]
    name, equals, value = first.partition("=")
    info = POLICIES[name]
    words = [
        *([f"{info.options[0]}={value}"] if equals and info.options else [first] if equals else []),
        *rest,
    ]
    options = _options(info, text, words)
    if not options and not info.optional:
        raise OptionError(
            f"rank policy {text!r}: got no option, {name} needs {_listed(info.options)}; write it as in "
            f"{info.example!r}."
        )
    return info.build(example_inputs, **options)


def _options(info: PolicyInfo, text: str, words: Sequence[str]) -> dict[str, float]:
    options: dict[str, float] = {}
    for word in words:
        option, _, value = word.partition("=")
        if option not in info.options:
            takes = f"takes {_listed(info.options)}" if info.options else "takes no options"
            raise OptionError(
                f"rank policy {text!r}: {word!r} is not an option, {info.name} {takes}; write it as in "
                f"{info.example!r}."
            )
        if option in options:
            raise OptionError(f"rank policy {text!r}: {option} is given twice; give it once.")
        options[option] = _number(text, option, value, info.example)
    return options


def _number(text: str, option: str, value: str, example: str) -> float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise OptionError(
        f"rank policy {text!r}: {option} must be a number, got {value!r}; write it as in {example!r}."
    )


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)

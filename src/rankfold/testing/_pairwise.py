"""Few cases that try every pair of option values."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["pairwise"]


def pairwise(
    options: Mapping[str, Sequence[Any]], allowed: Callable[[dict[str, Any]], bool] = lambda case: True
) -> list[dict[str, Any]]:
    """Choose from the product of all options cases in which every pair of values meets at least once.

    Arguments:
        options: for each option its values; the first values together are the first case.
        allowed: which combinations are legal.

    Returns:
        The cases, always the same ones.
    """
    product = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    cases = [case for case in product if allowed(case)]
    pairs = [set(itertools.combinations(case.items(), 2)) for case in cases]
    missing = set().union(*pairs)
    order = list(range(1, len(cases)))
    random.Random(0).shuffle(order)
    chosen = [cases[0]]
    missing -= pairs[0]
    worth = len(pairs[0])
    while worth:  # first the cases that bring most
        for index in order:
            if len(missing & pairs[index]) >= worth:
                chosen.append(cases[index])
                missing -= pairs[index]
        worth //= 2
    return chosen

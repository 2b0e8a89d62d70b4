"""Selectors: which modules of a model are meant."""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from rankfold._errors import OptionError, SelectorError

__all__ = ["Selector", "selected"]

Selector = str | type[nn.Module]


def selected(
    argument: str, selectors: Selector | Sequence[Selector], modules: Iterable[tuple[str, nn.Module]]
) -> set[str]:
    """Names of the modules that one of the selectors matches.

    Arguments:
        argument: name of the argument, for the messages.
        selectors: regular expressions that must match a whole module name, or module classes.
        modules: the candidates by name.

    Returns:
        The set of matching names.

    Raises:
        SelectorError: a selector that matches no candidate.
        OptionError: neither a valid regular expression nor a module class.
    """
    candidates = list(modules)
    chosen: set[str] = set()
    for selector in selectors if isinstance(selectors, list | tuple | set) else [selectors]:
        if isinstance(selector, str | re.Pattern):
            try:
                pattern = re.compile(selector)
            except re.error as error:
                raise OptionError(
                    f"{argument}: {selector!r} is not a regular expression ({error}); write '.*' for any characters."
                ) from None
            found = {name for name, _ in candidates if pattern.fullmatch(name)}
        elif isinstance(selector, type) and issubclass(selector, nn.Module):
            found = {name for name, module in candidates if isinstance(module, selector)}
        else:
            raise OptionError(f"{argument}: got {selector!r}; pass regular expressions or nn.Module classes.")
        if not found:
            names = ", ".join(name for name, _ in candidates[:8]) + (", ..." if len(candidates) > 8 else "")
            raise SelectorError(
                f"{argument}: {selector!r} matches none of the {len(candidates)} layers that can be factorised "
                f"({names}); a pattern must match the whole name, so write '.*' for any characters."
            )
        chosen |= found
    return chosen

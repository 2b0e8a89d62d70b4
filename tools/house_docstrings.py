"""An extension of griffe, which reads our docstrings for the site: it turns the style of the house into Google's."""

import inspect
import re
from typing import Any

import griffe

__all__ = ["HouseDocstrings", "rewritten"]

_ARGUMENTS = re.compile(r"^(?:Arguments|Attributes):\n(?:(?: {4}.*)?(?:\n|\Z))+", re.MULTILINE)
_SEVERAL = re.compile(r"^ {4}(\w+(?:, \w+)+):(.*(?:\n {8}.*)*)", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|data):`(~?)([\w.]+)`")


def rewritten(text: str) -> str:
    """A docstring with sections that griffe knows, one entry per argument, and links.

    Arguments:
        text: the docstring, without the indentation of its place. ``a, b: sizes`` describes two arguments alike;
            ``Example:`` is followed by a doctest; a role as in ``:class:`~rankfold.CP``` becomes a link, which
            mkdocstrings resolves from the place where it stands.

    Returns:
        The text for the parser of Google's style.

    Example:
        >>> rewritten("As :func:`fold`.\\n\\nArguments:\\n    a, b: sizes.").splitlines()
        ['As [`fold`][fold].', '', 'Arguments:', '    a: sizes.', '    b: sizes.']
    """
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    text = _ARGUMENTS.sub(lambda section: _SEVERAL.sub(_one_by_one, section[0]), text)
    return _ROLE.sub(_link, text)


def _one_by_one(entry: re.Match[str]) -> str:
    names, description = entry.groups()
    return "\n".join(f"    {name}:{description}" for name in names.split(", "))


def _link(role: re.Match[str]) -> str:
    short, target = role.groups()
    return f"[`{target.rpartition('.')[2] if short else target}`][{target}]"


class HouseDocstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed; one that a class puts together is read from the class itself."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.is_class and "__doc__" in obj.members:
            made = inspect.getdoc(griffe.dynamic_import(obj.path)) or ""
            obj.docstring = griffe.Docstring(made, parent=obj, lineno=obj.lineno)
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)

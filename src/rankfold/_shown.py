"""How values are shown, imported when somebody looks; and a display must not stop anybody's work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["Printed", "Shown"]


class Shown:
    """A value that shows HTML in notebooks; a subclass gives its view."""

    __slots__ = ()

    def _view(self) -> "View":
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from rankfold._display import html_of, written

        try:
            return html_of(self._view())
        except Exception:  # whatever a device or a strange value raises
            return f"<pre>{written(repr(self))}</pre>"


class Printed(Shown):
    """A value that ``print`` shows as a table, too."""

    __slots__ = ()

    def __str__(self) -> str:
        from rankfold._display import text_of

        try:
            return text_of(self._view())
        except Exception:
            return repr(self)

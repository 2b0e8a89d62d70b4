"""One generic registry: frozen records by name, and errors that list what is known."""

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from rankfold._errors import OptionError

__all__ = ["Registry"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=_Named)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Records by name; duplicates and unknown names are errors.

    Arguments:
        kind: what an entry is, in the singular, for the messages.
        *entries: the records to begin with; each has a ``name``.
    """

    def __init__(self, kind: str, *entries: Entry) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Register one record under its name.

        Raises:
            OptionError: the name is taken.
        """
        if entry.name in self._entries:
            raise OptionError(f"{self.kind} {entry.name!r} is registered already; choose another name.")
        self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except (KeyError, TypeError):  # the latter from what cannot be hashed
            known = ", ".join(sorted(self._entries))
            raise OptionError(f"{self.kind}: got {name!r}, known are {known}; choose one of these.") from None

    def __repr__(self) -> str:
        return f"<Registry, {self.kind}: {', '.join(sorted(self._entries)) or 'empty'}>"

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

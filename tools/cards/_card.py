"""A card of one method, and a family of them on one page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.cards._evidence import Evidence

__all__ = ["Card", "Family"]

Sentence = Callable[[Evidence], str]


@dataclass(frozen=True, kw_only=True)
class Card:
    """One method.

    Arguments:
        name: as the registry or the public list has it, perhaps with what is special after a comma.
        what: what it does, in two sentences.
        when: when to use it.
        call: lines of Python, which run after the preparation of the page.
        costs: what it costs, with figures from committed results.
        paper: where it is from.
        loses_where: the case where it loses in a few words without figures, for the table of all methods.
        loses: the same with figures; checks that they still show it.
    """

    name: str
    what: str
    when: str
    call: str
    costs: Sentence
    paper: str
    loses_where: str
    loses: Sentence


@dataclass(frozen=True)
class Family:
    """The methods of one page.

    Arguments:
        page: its file name without ending.
        title: its heading.
        introduction: what the methods have in common.
        preparation: lines of Python that all calls of the page need.
        cards: the methods in order.
        remarks: what stands at the end.
    """

    page: str
    title: str
    introduction: str
    preparation: str
    cards: Sequence[Card]
    remarks: str = ""

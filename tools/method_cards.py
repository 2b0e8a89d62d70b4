"""Write docs/methods: a card per method, whose figures come from committed results; none is typed."""

import re
import textwrap
from pathlib import Path

from rankfold.report import markdown_table
from tools.cards import FAMILIES, Card, Evidence, Family

__all__ = ["FOLDER", "anchor", "method_pages"]

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "methods"

_INDEX = """\
# Methods, and where each of them loses

A card per method: what it does, when to use it, the call, what it costs, the paper, and the case where it loses. Every
figure on a card comes from a committed result of a command that anyone can run; the card names both. The cards are
made from these results by `python -m tools.method_cards`, which stops where one no longer shows what a card says."""


def method_pages() -> dict[str, str]:
    """Pages by file name."""
    pages = {f"{family.page}.md": _page(family) for family in FAMILIES}
    return {"README.md": _index(), **pages}


def anchor(card: Card) -> str:
    """The place of a card on its page, as GitHub and mkdocs make it of a heading."""
    return card.name.lower().replace(",", "").replace(" ", "-")


def _index() -> str:
    parts = [_INDEX]
    for family in FAMILIES:
        rows = [
            {
                "method": f"[{_code(card)}]({family.page}.md#{anchor(card)})",
                "what it does": _first_sentence(card.what),
                "where it loses": card.loses_where,
            }
            for card in family.cards
        ]
        parts.append(f"## {family.title.partition(':')[0]}\n\n{markdown_table(rows)}")
    return "\n\n".join(parts) + "\n"


def _page(family: Family) -> str:
    parts = [f"# {family.title}", _wrapped(family.introduction), "The calls on this page need"]
    parts.append(_python(family.preparation))
    parts += [_section(card) for card in family.cards]
    if family.remarks:
        parts.append(_wrapped(family.remarks))
    return "\n\n".join(parts) + "\n"


def _section(card: Card) -> str:
    evidence = Evidence()
    costs = card.costs(evidence)
    for_costs = evidence.sources
    loses = card.loses(evidence)
    sources = [*for_costs, *(source for source in evidence.sources if source not in for_costs)]
    before = [card.what, f"**When to use it.** {card.when}"]
    after = [
        f"**What it costs.** {costs}",
        f"**Where it loses.** {loses}",
        f"**Paper.** {card.paper[0].upper()}{card.paper[1:]}.",
        f"Figures: {'; '.join(sources)}.",
    ]
    parts = [f"## {_code(card)}", *map(_wrapped, before), _python(card.call), *map(_wrapped, after)]
    return "\n\n".join(parts)


def _code(card: Card) -> str:
    """The name as code, and what is special about it after it."""
    name, comma, special = card.name.partition(",")
    return f"`{name}`{comma}{special}"


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _wrapped(paragraph: str) -> str:
    """Lines of at most 120 characters, code unbroken."""
    kept = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), paragraph)
    return textwrap.fill(kept, 120, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _python(code: str) -> str:
    return f"```python\n{code}\n```"


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in method_pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(method_pages())} pages to {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

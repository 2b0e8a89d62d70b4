"""docs/methods are the pages that their generator makes, every method has a card, and no figure on it is typed."""

import ast
import re
from pathlib import Path

import pytest
import tools.cards
from tools.cards import FAMILIES, Card, Evidence, Family
from tools.method_cards import FOLDER, anchor, method_pages

import rankfold
from rankfold.convert import POLICIES
from rankfold.decompose import METHODS
from rankfold.linalg import ORTHOGONAL_MAPS
from rankfold.training import INTEGRATORS

CARDS = [(family, card) for family in FAMILIES for card in family.cards]
each_card = pytest.mark.parametrize(
    ("family", "card"), CARDS, ids=[f"{family.page} {card.name}" for family, card in CARDS]
)
# Names and flags, which are no figures.
NAMES = re.compile(r"`[^`]*`|ResNet-20|CIFAR-10")


def names(page: str) -> set[str]:
    return {card.name for family, card in CARDS if family.page == page}


def test_the_pages_are_those_that_are_made() -> None:
    made = method_pages()
    assert {path.name for path in FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m tools.method_cards"
        )


def test_every_method_has_a_card() -> None:
    assert names("integrators") == set(INTEGRATORS)
    assert names("cp") == set(METHODS)
    classes = {
        name
        for name in rankfold.__all__
        if isinstance(value := getattr(rankfold, name), type) and hasattr(value, "choose")
    }
    assert set(POLICIES) <= names("rank_policies")
    carded = {name.lower() for name in names("rank_policies")}
    assert carded == {name.lower() for name in classes - {"RankPolicy"}}
    assert set(ORTHOGONAL_MAPS) <= names("orthogonal")
    assert {"tucker", "tt"} <= names("tucker")
    assert names("compression") == {"compress", "FineTuning"}


@each_card
def test_every_card_says_where_it_loses_with_figures(family: Family, card: Card) -> None:
    evidence = Evidence()
    sentence = card.loses(evidence)
    assert re.search(r"\d", sentence)
    assert sentence.endswith(".")
    assert evidence.sources
    assert card.loses_where
    assert not re.search(r"\d", NAMES.sub("", card.loses_where))
    assert re.fullmatch(r"[^.]*(?:\. [^.]*)?\.", NAMES.sub("", card.what)), "two sentences"


@each_card
def test_every_card_is_on_its_page_and_in_the_index(family: Family, card: Card) -> None:
    page, index = ((FOLDER / name).read_text(encoding="utf-8") for name in (f"{family.page}.md", "README.md"))
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = [re.sub(r"[`,]", "", heading).lower().replace(" ", "-") for heading in headings]
    assert anchors.count(anchor(card)) == 1
    assert f"({family.page}.md#{anchor(card)})" in index


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.page)
def test_the_calls_run(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (FOLDER / f"{family.page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == len(family.cards) + 1
    space: dict[str, object] = {}
    for block in blocks:
        exec(block, space)


def test_no_figure_is_typed() -> None:
    """Digits stand in braces, where a value of a result is put in."""
    found = 0
    for file in sorted(Path(tools.cards.__file__).parent.glob("_*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        formats = {
            id(node.format_spec)
            for node in ast.walk(tree)
            if isinstance(node, ast.FormattedValue) and node.format_spec
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and id(node) not in formats:
                text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                assert not re.search(r"\d", NAMES.sub("", text)), f"{file.name}: {text}"
                found += 1
    assert found > 40


def test_a_claim_that_no_longer_holds_stops_the_pages() -> None:
    evidence = Evidence()
    evidence.claim(True, "all is well")
    with pytest.raises(AssertionError, match="no longer show this: it is slower"):
        evidence.claim(False, "it is slower")
    with pytest.raises(AssertionError, match="nothing with"):
        evidence.row("step", network="no such network")


def test_sources_name_file_and_command() -> None:
    evidence = Evidence()
    evidence.rows("card_cp")
    evidence.check("rank-evolution", "matched tolerance")
    evidence.rows("card_cp")
    first, second = evidence.sources
    assert first == "`benchmarks/results/card_cp.json`, made by `python -m benchmarks.card_cp`"
    assert "(../studies/rank-evolution/card.md), made by `rankfold study rank-evolution" in second

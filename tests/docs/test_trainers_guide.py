"""The guide to trainers: its blocks run, and the lines it shows are those of the examples."""

from tests.docs.pages import ROOT, Shown, blocks_of

import rankfold as rf

PAGE = "docs/trainers.md"


def test_the_lines_are_those_by_which_the_scripts_differ() -> None:
    shown = [block.text for block in blocks_of(PAGE) if block.language == "text"]
    for package, text in zip(("lightning", "transformers"), shown, strict=True):
        dense, low = (
            (ROOT / "examples" / package / f"{name}.py").read_text().splitlines()[1:]
            for name in ("dense", "low_rank")
        )
        assert [line.removeprefix("+ ") for line in text.splitlines()] == [
            line for line in low if line not in dense
        ]


def test_what_the_blocks_leave_behind(shown: Shown) -> None:
    assert shown["tdlrt"].records
    averaged = shown["averaged"]
    accuracy = (averaged(shown["inputs"]).argmax(1) == shown["labels"]).float().mean()
    assert accuracy > 0.9
    assert any(row.ranks for row in shown["conversion"])
    assert isinstance(shown["optimizer"], rf.TDLRT)

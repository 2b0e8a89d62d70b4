"""What cannot be seen, or steers what stands around it, is written as its number."""

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from rankfold._display import one_line, text_table, visible

# Of category Cf, yet seen: signs of Arabic, Syriac and Kaithi numbers, and those that join Egyptian hieroglyphs.
SEEN = (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440))
JOINERS = (0x200C, 0x200D)


def test_every_control_and_mark_of_unicode() -> None:
    kept = {
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and visible(chr(code)) == chr(code)
    }
    assert kept - set(SEEN) == {ord("\t"), ord("\n"), *JOINERS}


def test_letters_stay() -> None:
    for text in ("conv1.weight", "模型·层", "שכבה", "क्ष", "👩‍👩‍👧", "❤️", "naïve", "tab\tand\nline"):
        assert visible(text) == text


@given(st.text())
def test_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) == (1 if text else 0)
    assert one_line(one_line(text)) == one_line(text)
    one_line(text).encode()


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4))
def test_rows_of_a_table_are_lines(rows: list[tuple[str, str]]) -> None:
    table = text_table(("name", "value"), rows, numbers=(1,))
    assert visible(table) == table
    assert len(table.split("\n")) == len(rows) + 1

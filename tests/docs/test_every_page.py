"""Every page of the documentation runs, also one that nobody wrote a test for."""

from collections import Counter
from collections.abc import Callable

import pytest
from tests.docs.pages import PAGES, WRITTEN_BY_A_PROGRAM, Shown, blocks_of, pages_with_tests, text_of

# Blocks that are not run: the page, and the reason in the comment above the block, as <!-- not run: ... -->.
NOT_RUN = Counter(
    {
        ("docs/start.md", "installs packages"): 1,
        ("docs/distributed.md", "the tests run the script with two workers"): 1,
        ("docs/security.md", "installs packages"): 1,
        ("docs/train.md", "many minutes, and needs MNIST"): 1,
        (
            "docs/trainers.md",
            "tests/integrations/test_transformers.py does the same; the import takes seconds",
        ): 1,
        ("docs/start.md", "half a minute; a test runs the same with fewer epochs"): 1,
    }
)

# Files below RANKFOLD_DATA without which a block is left out, in a comment as <!-- needs: ... -->.
NEEDS = {
    "docs/decompose.md": [
        "tensors/amino_fluorescence.npz",
        "tensors/nyc_taxi.npz",
        "tensors/nycweather13.npz",
        "tensors/alphatensor_matmul_factors.npz",
    ],
}

LANGUAGES = {"python", "console", "text", "json", ""}

BLOCKS = {page: blocks_of(page) for page in PAGES}


def runs(page: str) -> bool:
    """Whether a page has something to run, and no module of tests that runs it."""
    return page not in pages_with_tests() and any(block.language for block in BLOCKS[page])


@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)])
def test_the_blocks_run(page: str, run_once: Callable[[str], Shown]) -> None:
    run_once(page)


def test_what_is_not_run_is_known() -> None:
    blocks = [block for page in PAGES for block in BLOCKS[page]]
    assert Counter((block.page, block.not_run) for block in blocks if block.not_run) == NOT_RUN
    needs = {page: [block.needs for block in BLOCKS[page] if block.needs] for page in PAGES}
    assert {page: files for page, files in needs.items() if files} == NEEDS


@pytest.mark.parametrize("page", PAGES)
def test_no_block_and_no_comment_is_overlooked(page: str) -> None:
    text = text_of(page)
    fences = [line for line in text.splitlines() if line.strip().startswith("```")]
    assert len(fences) == 2 * len(BLOCKS[page])
    allowed = LANGUAGES | ({"py"} if page in WRITTEN_BY_A_PROGRAM else set())
    assert {block.language for block in BLOCKS[page]} <= allowed
    said = [what for block in BLOCKS[page] for what in (block.not_run, block.needs) if what]
    assert text.count("<!--") == len(said)


def test_modules_of_tests_name_pages_that_are_there() -> None:
    assert pages_with_tests() <= set(PAGES)
    assert "docs/compress.md" in pages_with_tests()

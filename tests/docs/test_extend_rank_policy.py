"""The guide to rank policies: the table it shows, and the command line with one more policy."""

import re

import pytest
from tests.docs.extend import Guide

PAGE = "docs/extend/rank_policy.md"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    return Guide(PAGE, tmp_path_factory.mktemp("guide"))


def test_it_works_and_prints_what_is_shown(guide: Guide) -> None:
    compare, train, compress, inspect = guide.commands
    assert guide.run(compare) == guide.outputs[0]
    guide.run(train)
    printed = guide.run(compress)
    assert "effective=0.3" in printed
    assert re.search(r"layers +\d of 4 compressed", printed)
    assert "effective" in guide.run(inspect)

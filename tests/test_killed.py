"""A few kills of the campaigns in benchmarks/faults, with other seeds."""

import sys

import pytest
from benchmarks.faults.elastic import compared, group_run
from benchmarks.faults.kills import KINDS, campaign

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kills_lose_nothing(kind):
    row = campaign(kind, 8, seed=7)
    assert (row["kills"], row["losses"]) == (8, 0)
    assert row["chains"] >= 1


def test_a_killed_worker_is_made_good_by_torchrun(tmp_path):
    assert group_run(tmp_path / "quiet", 0, 0) == 0
    assert group_run(tmp_path / "killed", 11, 1) == 1
    assert compared(tmp_path / "quiet", tmp_path / "killed")

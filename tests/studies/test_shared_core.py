"""Deep networks that share all, a central core, or nothing."""

from typing import Any

import pytest
import torch

from rankfold.sharing import shared_cores
from rankfold.studies import StudyRun, judge, run_study
from rankfold.studies._shared_core import SHARED_CORE
from rankfold.studies._shared_core_runs import KINDS, network
from rankfold.studies._study import Setting


@pytest.mark.parametrize(
    ("depth", "sizes"), [(6, (5482, 9162, 29642)), (12, (5482, 13578, 58634))], ids=["6", "12"]
)
def test_sizes_are_those_of_related_work(depth: int, sizes: tuple[int, ...]) -> None:
    found = {kind: sum(p.numel() for p in network(kind, depth, 0).parameters()) for kind in KINDS}
    assert (found["all"], found["central"], found["none"]) == sizes
    assert 0.8 * found["central"] < found["small"] <= found["central"]


def test_sharing_all_and_a_core_begin_alike() -> None:
    x = torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(0))
    everything, central = network("all", 3, 4), network("central", 3, 4)
    torch.testing.assert_close(central(x), everything(x))
    assert shared_cores(central)[0].names == ("layers.0", "layers.1", "layers.2")
    assert not torch.allclose(network("none", 3, 4)(x), everything(x))
    assert torch.equal(network("none", 3, 4)(x), network("none", 3, 4)(x))


def test_a_tiny_run_decides_every_check() -> None:
    parameters: dict[str, Any] = {
        **SHARED_CORE.quick,
        "seeds": 1,
        "depths": [6, 12],
        "rates": [0.05],
        "epochs": 1,
    }
    run = run_study(SHARED_CORE, StudyRun(study="shared-core", size="tiny", parameters=parameters), Setting())
    findings = {finding.name: finding for finding in judge(SHARED_CORE.checks, run.records(SHARED_CORE))}
    assert all(finding.holds is not None for finding in findings.values())
    assert all(findings[name].holds for name in ("start", "size L=6", "size L=12"))

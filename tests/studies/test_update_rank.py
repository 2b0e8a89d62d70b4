"""The rank of what training changes."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._update_rank import UPDATE_RANK
from rankfold.studies._update_rank_cut import with_cut_updates
from rankfold.studies._update_rank_networks import LAYERS, compare_ranks
from rankfold.studies._update_rank_patterns import PatternNet, draw_sequences, train_on_patterns

STUDY = UPDATE_RANK


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 1,
        "noises": [0.05],
        "steps": 150,
        "images": 256,
        "epochs": 1,
        "tolerances": [0.1],
    }
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_the_attention_changes_by_rank_two(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("F1 energy", "F1 learned", "F1 rank two"):
        assert findings[name].holds, findings[name]


def test_sequences_hold_the_patterns_they_should() -> None:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.eye(30)[:10]
    x, y = draw_sequences(patterns, 50, 0.0, generator)
    counts = (x @ patterns.mT).sum(1)
    own = torch.where(y > 0, counts[:, 1], counts[:, 0])
    other = torch.where(y > 0, counts[:, 0], counts[:, 1])
    assert own.tolist() == [6.0] * 50
    assert other.tolist() == [2.0] * 50
    assert counts.sum(1).tolist() == [20.0] * 50
    assert {*y.tolist()} == {-1.0, 1.0}


def test_the_transformer_is_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    model = PatternNet(generator)
    x = torch.randn(2, 20, 30, generator=generator)
    q, k, v, o = (getattr(model, name).weight for name in ("query", "key", "value", "output"))
    for sequence, result in zip(x, model(x), strict=True):
        columns = sequence.mT
        total = torch.zeros(())
        for token in sequence:
            weights = torch.softmax((k @ columns).mT @ (q @ token), 0)
            total = total + model.readout @ torch.relu(o @ (v @ (columns @ weights)))  # pyright: ignore
        assert float(result.detach()) == pytest.approx(float(total.detach()) / 20, rel=1e-5)


def test_updates_are_cut_and_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cut = with_cut_updates(model, start, {"0": 2}).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(cut[name], before[name]) for name in ("0.bias", "1.weight", "1.bias"))
    change, whole = (state["0.weight"] - start["0.weight"] for state in (cut, before))
    values = torch.linalg.svdvals(whole)
    assert int(torch.linalg.matrix_rank(change, rtol=1e-5)) == 2
    assert float((whole - change).detach().norm()) == pytest.approx(float(values[2:].norm()), rel=1e-5)


def test_a_run_is_repeated_exactly() -> None:
    case = {"part": "patterns", "labels": "random", "noise": 0.1, "steps": 20, "seed": 3}
    assert train_on_patterns(case) == train_on_patterns(case)
    assert train_on_patterns(case) != train_on_patterns({**case, "seed": 4})
    network = {"part": "network", "tolerance": 0.1, "images": 64, "epochs": 1, "seed": 0}
    assert compare_ranks(network, Setting()) == compare_ranks(network, Setting())


def test_ranks_are_compared_up_and_down() -> None:
    row = {"part": "network", "tolerance": 0.1, "seed": 0}
    row |= {"accuracy": {"dense": 0.9, "cut": 0.8, "adapters": 0.85, "low rank": 0.7}}
    row |= {"found": dict(zip(LAYERS, (10, 10, 5), strict=True))}
    row |= {"suggested": dict(zip(LAYERS, (4, 20, 5), strict=True)), "weight": dict.fromkeys(LAYERS, 10)}
    records = Records([{name: row[name] for name in ("part", "tolerance", "seed")}], [row])
    findings = {finding.name: finding for finding in judge(STUDY.checks, records)}
    assert findings["ours: ranks"].value == pytest.approx(2.5)
    assert findings["ours: ranks"].holds is False
    assert findings["control: weights"].value == pytest.approx(2)
    assert findings["ours: cut"].value == pytest.approx(0.1)
    assert findings["F1 energy"].holds is None


def test_partial_records_are_shown(tiny: StudyRun) -> None:
    for rows in (tiny.rows[:0], tiny.rows[:1], tiny.rows[2:]):
        records = Records(tiny.records(STUDY).cases, rows)
        STUDY.tables(records)
        STUDY.plot(records, Figure())

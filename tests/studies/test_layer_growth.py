"""New layers for a trained transformer."""

import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._layer_growth import LAYER_GROWTH
from rankfold.studies._layer_growth_model import CHARACTERS, Block, CharacterModel, python_topics
from rankfold.studies._layer_growth_runs import METHODS, grow

STUDY = LAYER_GROWTH
TINY: dict[str, Any] = {"layers": 4, "places": [1], "width": 8, "base steps": 3, "steps": 2}


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters = {**STUDY.quick, **TINY, "seeds": 1}
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("F1 joint SVD", "F2 identity", "F3 mean"):
        assert findings[name].holds, findings[name]


def test_methods_differ_as_they_say(tiny: StudyRun) -> None:
    rows = {row["method"]: row for row in tiny.records(STUDY).where()}
    assert list(rows) == list(METHODS)
    assert len({row["base"] for row in rows.values()}) == 1
    assert rows["identity"]["inserted"] == pytest.approx(rows["identity"]["base"], rel=1e-6)
    assert rows["copy"]["norm"] == 1
    for setting in ("paper", "notebook"):
        predicted, random = rows[f"predicted, {setting}"], rows[f"random, norms of {setting}"]
        assert random["norm"] == pytest.approx(predicted["norm"], rel=1e-5)
        assert random["inserted"] != predicted["inserted"]
        assert set(predicted["predictions"]) == {
            f"{name}.weight" for name in ("query", "key", "value", "output", "up", "down")
        }


def test_the_text_is_characters_that_the_model_knows() -> None:
    text = python_topics()
    assert len(text) > 100_000
    assert int(text.min()) >= 0
    assert int(text.max()) < CHARACTERS
    assert int((text == ord("e") - 31).sum()) > 10_000


def test_blocks_are_causal_and_add_to_what_came_in() -> None:
    torch.manual_seed(0)
    model = CharacterModel(2, 8, 2, 16)
    text = torch.randint(0, CHARACTERS, (1, 12))
    changed = text.clone()
    changed[0, 7] = (changed[0, 7] + 1) % CHARACTERS
    one, two = model(text), model(changed)
    assert torch.equal(one[:, :7], two[:, :7])
    assert not torch.equal(one[:, 7:], two[:, 7:])
    block = Block(8, 2)
    with torch.no_grad():
        block.output.weight.zero_()
        block.down.weight.zero_()
    x = torch.randn(1, 5, 8)
    assert torch.equal(block(x), x)


def test_a_run_is_repeated_exactly() -> None:
    case = {"method": "random, norms of paper", **TINY, "seed": 5}
    one, other = grow(case, Setting()), grow({**case, "seed": 6}, Setting())
    assert grow(case, Setting()) == one
    assert other["base"] != one["base"]
    assert all(math.isfinite(one[name]) for name in ("base", "inserted", "trained"))


def test_gains_are_differences_of_losses() -> None:
    inserted = {"copy": 2.5, "identity": 2.0, "predicted, paper": 2.2, "predicted, notebook": 2.3}
    rows = [
        {"method": method, "seed": seed, "inserted": loss, "trained": loss - 0.1 * seed, "moved": 0.0}
        | {"predictions": {"key.weight": {"error": 0.9, "norm": 0.1}}}
        for method, loss in {**inserted, "random, norms of paper": 2.1}.items()
        for seed in range(3)
    ]
    cases = [{name: row[name] for name in ("method", "seed")} for row in rows]
    findings = {finding.name: finding for finding in judge(STUDY.checks, Records(cases, rows))}
    assert findings["starts better than copy"].value == pytest.approx(0.3)
    assert findings["starts better than identity"].value == pytest.approx(-0.2)
    assert findings["control: zero, paper"].holds is True
    assert findings["control: random, paper"].value == pytest.approx(-0.1)
    assert findings["control: random, notebook"].holds is None


def test_partial_records_are_shown(tiny: StudyRun) -> None:
    for rows in (tiny.rows[:0], tiny.rows[:1], tiny.rows[3:]):
        records = Records(tiny.records(STUDY).cases, rows)
        STUDY.tables(records)
        STUDY.plot(records, Figure())

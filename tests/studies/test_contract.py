"""What every study has to keep, and that the cards in docs/studies are those of their records."""

import json
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from rankfold.studies import STUDIES, Records, StudyFolder, StudyRun, card, judge, write_index

DOCS = Path(__file__).parents[2] / "docs" / "studies"
NAMES = list(STUDIES)


@pytest.mark.parametrize("name", NAMES)
def test_words(name):
    study = STUDIES[name]
    assert name == study.name
    assert name.replace("-", "").isalnum()
    assert name.islower()
    assert study.claim.endswith(".")
    assert ". " not in study.claim
    assert not study.paper.endswith(".")
    assert any(character.isdigit() for character in study.paper)
    assert all(remark.endswith(".") for remark in study.remarks)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_cases_are_plain_and_differ(name):
    study = STUDIES[name]
    assert list(study.quick) == list(study.full)
    assert "seed" in study.quick
    for parameters in (study.quick, study.full):
        assert json.loads(json.dumps(dict(parameters), allow_nan=False)) == parameters
        texts = [json.dumps(case, sort_keys=True, allow_nan=False) for case in study.cases(parameters)]
        assert texts
        assert len({*texts}) == len(texts)
    assert len(study.cases(study.quick)) <= len(study.cases(study.full))
    assert study.cases({**study.quick, "seed": 77}) != study.cases(study.quick)


@pytest.mark.parametrize("name", NAMES)
def test_checks_have_names_and_bounds(name):
    checks = STUDIES[name].checks
    assert checks
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.least is not None or check.most is not None
        assert check.least is None or check.most is None or check.least <= check.most
        assert "|" not in check.statement


@pytest.mark.parametrize("name", NAMES)
def test_a_run_without_records_is_not_decided_and_shows(name):
    study = STUDIES[name]
    run = StudyRun(study=name, size="quick", parameters=dict(study.quick))
    assert {finding.holds for finding in judge(study.checks, run.records(study))} == {None}
    assert "**Verdict: not decided**" in card(study, run)


@pytest.fixture(params=NAMES)
def published(request):
    study = STUDIES[request.param]
    run = StudyFolder(DOCS / study.name).read(study)
    assert run is not None, (
        f"docs/studies/{study.name} is missing: rankfold study {study.name} --out docs/studies"
    )
    return study, run


def test_the_published_run_is_the_quick_one(published):
    study, run = published
    assert run.size == "quick"
    assert run.parameters == study.quick
    records = run.records(study)
    assert records.missing == []
    assert len(run.rows) == len(records.cases)


def test_the_published_card_is_that_of_its_records(published):
    study, run = published
    assert (DOCS / study.name / "card.md").read_text(encoding="utf-8") == card(study, run)
    for figure in ("figure.png", "figure.svg"):
        assert (DOCS / study.name / figure).stat().st_size > 1000


def test_the_published_file_is_that_of_its_records(published, tmp_path):
    study, run = published
    StudyFolder(tmp_path).write_records(study, run)
    stored, made = (
        json.loads((folder / "study.json").read_text(encoding="utf-8"))
        for folder in (DOCS / study.name, tmp_path)
    )
    assert list(stored) == list(made)
    assert alike(stored, made), (
        f"rankfold study {study.name} --out docs/studies writes it anew and runs nothing"
    )


def alike(one, two):
    """Whether plain values are equal, numbers up to the order in which a machine adds them."""
    if isinstance(one, dict):
        return (
            isinstance(two, dict) and list(one) == list(two) and all(alike(one[key], two[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(alike, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-6)
    return one == two


def test_tables_that_are_drawn_are_lines_over_their_first_column(published):
    study, run = published
    for table in study.tables(run.records(study)):
        if not table.drawn:
            continue
        first, *others = {key: None for row in table.rows for key in row}
        places = [row[first] for row in table.rows]
        assert len(places) > 2
        assert len({*places}) == len(places)
        assert all(isinstance(place, int | float) for place in places)
        assert others
        assert all(isinstance(row[key], float | None) for row in table.rows for key in others if key in row)


def test_the_figure_has_labels_and_legends(published):
    study, run = published
    figure = Figure(layout="constrained")
    study.plot(run.records(study), figure)
    assert figure.axes
    for axes in figure.axes:
        if not axes.axison:
            continue
        labels = [axes.get_xlabel(), axes.get_ylabel()]
        if axes.get_label() == "<colorbar>":
            assert any(labels)
            continue
        # Panels on one scale need its label once.
        beside = axes.get_shared_y_axes().get_siblings(axes)
        assert labels[0], axes.get_title()
        assert any(one.get_ylabel() for one in beside), axes.get_title()
    several = [axes for axes in figure.axes if len(axes.get_lines()) > 2]
    assert not several or figure.legends or any(axes.get_legend() for axes in figure.axes)


def test_half_of_the_records_draw(published):
    study, run = published
    records = run.records(study)
    half = Records(records.cases, run.rows[::2])
    study.plot(half, Figure(layout="constrained"))
    assert study.tables(half) is not None
    judge(study.checks, half)


def test_the_published_index_lists_every_study(tmp_path):
    for name in NAMES:
        (tmp_path / name).symlink_to(DOCS / name, target_is_directory=True)
    write_index(STUDIES, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (DOCS / "README.md").read_text(encoding="utf-8") == text
    assert all(f"[{name}]" in text for name in NAMES)

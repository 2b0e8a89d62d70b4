"""What the pages on concepts say and draw is so."""

import json
import re

import pytest
import torch
from tests.docs.pages import ROOT, text_of
from tools.concept_figures import drawings

FOLDER = ROOT / "docs" / "concepts"
RESULT = json.loads((ROOT / "benchmarks" / "results" / "weight_spectrum.json").read_text())
DENSE, LOW = (RESULT["networks"][name] for name in ("dense", "low rank"))


@pytest.mark.parametrize("name", drawings())
def test_the_drawings_are_those_of_the_program(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == drawings()[name]


def test_a_weight_as_core_and_factors(run_once):
    shown = run_once("docs/concepts/tucker.md")
    core, factors = shown["shapes"]
    assert "core of 9 x 9 x 5 x 5 and two factors, (50, 9) and (20, 9)" in text_of("docs/concepts/tucker.md")
    assert (tuple(core), factors) == ((9, 9, 5, 5), [(50, 9), (20, 9), None, None])
    assert shown["error"] < 1e-5 * shown["weight"].core.norm()


def test_the_sizes_drawn_are_those_of_the_demo():
    demo = text_of("docs/start.md")
    assert "12x12      400,000   15,744" in demo
    assert 500 * 12 + 12 * 12 + 12 * 800 == 15_744
    assert "13x9x5x5    25,000    3,755" in demo
    assert 20 * 9 + 9 * 13 * 25 + 13 * 50 == 3_755


def test_the_tolerance_cuts_what_the_page_says(run_once):
    shown, text = (
        run_once("docs/concepts/tolerance.md"),
        " ".join(text_of("docs/concepts/tolerance.md").split()),
    )
    assert f"tolerance of 0.14 cuts off the densely trained one: {500 - DENSE['ranks']['0.14']} of" in text
    assert f"To get to rank {DENSE['ranks']['0.5']} half of the norm" in text
    assert f"the layer ends at {len(LOW['singular_values'])} directions" in text
    tail = torch.tensor(DENSE["singular_values"][DENSE["ranks"]["0.14"] :])
    assert float(tail.norm()) == pytest.approx(0.14, abs=0.005)
    assert f"`cut.ranks` is {shown['cut'].ranks}" in text
    (change,) = re.findall(r"`change` is (\d\.\d+)", text)
    assert float(shown["change"]) == pytest.approx(float(change), abs=1e-4)


def test_parallel_wants_half_the_tolerance():
    card = text_of("docs/studies/rank-evolution/card.md")
    (ratio,) = re.findall(
        r"parallel needs a tolerance 2 to 10 times smaller, in the median \| ([\d.]+)", card
    )
    assert float(ratio) == pytest.approx(2, abs=0.2)
    assert "half of that of `augmented` gave equal ranks" in " ".join(
        text_of("docs/concepts/integrators.md").split()
    )

"""What the page of a decomposition says."""

from copy import deepcopy
from dataclasses import replace

import pytest
from tests.report.page.pages import parsed

from rankfold.report.page import (
    BarChart,
    Code,
    DecompositionRecord,
    LineChart,
    ModeFactor,
    ModeSpectrum,
    decomposition_page,
    render_page,
)

SUMMARY = {
    "file": "somewhere/cube.npy",
    "format": "cp",
    "shape": [5, 4, 3],
    "dtype": "float64",
    "ranks": [2],
    "relative_error": 0.0123,
    "method": "als",
    "rank": 2,
    "weights": [3.0, 1.0],
    "shares": [0.9, 0.1],
    "agreement": {"runs": 5, "agreeing": 3, "exact": False, "reached": True, "sentence": "confirmed: 3 of 5"},
    "degeneracy": {"largest_weight": 1.0, "smallest_cosine": 0.0, "suspected": False, "warning": None},
    "core_consistency": 98.76,
    "rank_path": [
        {"rank": 1, "relative_error": 0.5, "bic": 10.0, "evidence": 40.0},
        {"rank": 2, "relative_error": 0.0123, "bic": -3.0, "evidence": 7.0},
        {"rank": 3, "relative_error": None, "bic": 4.0, "evidence": 0.5},
    ],
    "trace": [
        {"seconds": 0.1, "relative_error": 0.9, "method": "als", "rank": 1},
        {"seconds": 0.2, "relative_error": 0.1, "method": "als", "rank": 2},
        {"seconds": 0.3, "relative_error": None, "method": "als", "rank": 2},
    ],
    "interrupted": False,
    "seconds": 1.5,
    "settings": {"file": "somewhere/cube.npy", "rank": "auto", "seed": 7, "ranks": []},
    "versions": {"rankfold": "1.0", "torch": "2.9"},
}


def record(name="run", *, columns=2, **changes):
    return DecompositionRecord(
        name=name,
        summary={**deepcopy(SUMMARY), **changes},
        numbers=26,
        factors=tuple(
            ModeFactor(
                mode=mode, columns=tuple(tuple(float(at + c) for at in range(n)) for c in range(columns))
            )
            for mode, n in enumerate((5, 4, 3))
        ),
        spectra=(),
        command="rankfold decompose somewhere/cube.npy --seed 7",
    )


def charts(page, kind=LineChart):
    return {
        block.title: block for section in page.sections for block in section.blocks if isinstance(block, kind)
    }


def test_headline():
    facts = {fact.name: (fact.value, fact.twin) for fact in decomposition_page([record()], ["run"]).facts}
    assert facts == {
        "relative error": ("0.0123", ""),
        "rank": ("2", ""),
        "numbers": ("26", "60 dense"),
        "core consistency": ("98.8 %", ""),
        "time": ("1.5 s", ""),
    }


def test_components_rank_path_and_trace():
    page = decomposition_page([record()], ["run"])
    lines = charts(page)
    assert [line.values for line in lines["Mode 2"].lines] == [(0.0, 1.0, 2.0), (1.0, 2.0, 3.0)]
    assert lines["Evidence of each rank"].lines[0].values == (40.0, 7.0, 0.5)
    assert lines["Evidence of each rank"].marks[0].x == 2.0
    assert [line.values for line in lines["Error on the way"].lines] == [(0.9, None, None), (None, 0.1, None)]
    assert charts(page, BarChart)["Components"].bars[0].values == (0.9, 0.1)
    text = parsed(render_page(page)).text
    assert "confirmed: 3 of 5" in text
    assert "rankfold decompose somewhere/cube.npy --seed 7" in text
    assert "torch 2.9" in text


def test_many_components_get_charts_of_seven():
    page = decomposition_page([record(columns=40)], ["run"])
    mode = [title for title in charts(page) if title.startswith("Mode 0")]
    assert mode == [f"Mode 0, components {start} to {start + 6}" for start in (1, 8, 15, 22)]
    assert "The last 12 are not drawn." in charts(page)[mode[-1]].description


def test_warnings_and_advice():
    suspected = {
        **SUMMARY["degeneracy"],
        "suspected": True,
        "warning": "warning: two components nearly cancel",
    }
    unsure = {**SUMMARY["agreement"], "reached": False, "sentence": "unsure: no two agree"}
    one = record(degeneracy=suspected, agreement=unsure, core_consistency=12.0, interrupted=True)
    tree = parsed(render_page(decomposition_page([one], ["run"])))
    warnings = [node.text for node in tree.all("p") if node.get("class") == "warning"]
    assert len(warnings) == 2
    items = " ".join(node.text for node in tree.all("li"))
    for words in ("--restarts", "core consistency is 12.0 %", "--nonnegative", "Compare with other settings"):
        assert words in items


def test_a_tucker_core_has_spectra_and_a_train_has_none():
    plain = {key: SUMMARY[key] for key in SUMMARY if key not in ("rank", "shares", "weights", "agreement")}
    plain |= {
        "format": "tucker",
        "ranks": [2, 4, 3],
        "rank_path": [],
        "degeneracy": {},
        "core_consistency": None,
    }
    spectrum = ModeSpectrum(mode=0, size=5, values=(4.0, 1.0))
    one = replace(record(), summary=plain, spectra=(spectrum,))
    page = decomposition_page([one], ["run"])
    chart = charts(page)["Spectrum of mode 0"]
    assert chart.lines[0].values == (1.0, 0.25, None, None)  # as many places right of the cut as left of it
    assert not chart.x_log
    assert (chart.marks[0].x, chart.marks[0].label) == (2.0, "cut at 2 of 5")
    assert ("ranks", "2x4x3", "found") in [(fact.name, fact.value, fact.note) for fact in page.facts]
    assert (
        "26 numbers tell the 60 of the tensor to a relative error of 0.0123."
        in parsed(render_page(page)).text
    )
    train = replace(one, summary={**plain, "format": "tt"}, spectra=(), factors=())
    text = parsed(render_page(decomposition_page([train], ["run"]))).text
    assert "cores instead of components" in text
    assert "The ranks were given." in text


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"ranks": [2, 4, 3]}, "given"),
        ({"tolerance": 0.05}, "found at tolerance 0.05"),
        ({"ranks": [], "tolerance": None, "energy": 0.99}, "found at energy 0.99"),
        ({}, "found"),
    ],
)
def test_where_ranks_come_from(settings, note):
    summary = {key: SUMMARY[key] for key in SUMMARY if key not in ("rank", "rank_path", "shares", "weights")}
    summary |= {"ranks": [2, 4, 3], "settings": settings}
    page = decomposition_page([replace(record(), summary=summary)], ["run"])
    assert ("ranks", note) in [(fact.name, fact.note) for fact in page.facts]


def test_a_long_spectrum_has_a_logarithmic_axis_and_ends_soon_after_the_cut():
    summary = {**SUMMARY, "ranks": [40, 4, 3], "shape": [500, 4, 3]}
    spectrum = ModeSpectrum(mode=0, size=500, values=tuple(1 / (at + 1) for at in range(40)))
    chart = charts(decomposition_page([replace(record(), summary=summary, spectra=(spectrum,))], ["run"]))
    chart = chart["Spectrum of mode 0"]
    assert len(chart.x) == 80
    assert chart.x_log
    assert chart.marks[0].label == "cut at 40 of 500"


def test_a_search_through_many_ranks_says_so():
    trace = [{"seconds": 0.1 * at, "relative_error": 0.5, "method": "als", "rank": at} for at in range(1, 12)]
    chart = charts(decomposition_page([record(trace=trace)], ["run"]))["Error on the way"]
    assert len(chart.lines) == 1
    assert "ranks 1 to 11 were tried" in chart.description


def test_side_by_side():
    page = decomposition_page([record("a"), record("b", relative_error=0.5)], ["a", "b"])
    tree = parsed(render_page(page))
    rows = [[cell.text for cell in row.children] for row in tree.all("tr")]
    assert ["b", "cp", "2", "0.5", "26", "als", "98.8 %", "1.5"] in rows
    assert "Run b" in [node.text for node in tree.all("summary")]
    assert page.subtitle.startswith("Big numbers: a: ")
    assert "Compare with other settings" not in tree.text


def test_gaps_are_counted_and_told():
    whole = decomposition_page([record()], ["run"])
    page = decomposition_page([record(observed=48)], ["run"])
    text = parsed(render_page(page)).text
    assert "26 numbers tell the 48 observed entries of the tensor to a relative error of 0.0123" in text
    assert "12 of its 60 entries (20.0%) are missing" in text
    assert "the evidence under “Where is the rank?”" in text
    assert page.facts[0].note == "of the observed entries, method als"
    assert "held-out" in charts(page)["Evidence of each rank"].description
    assert "fits nine tenths of the observed entries" in text
    plain = parsed(render_page(whole)).text
    assert "missing" not in plain
    assert "held-out" not in plain
    assert "fitted further afterwards" in plain
    old = decomposition_page([record(settings={"mask": "nan"})], ["run"])
    assert "fits nine tenths" in parsed(render_page(old)).text


@pytest.mark.parametrize("nonnegative", [False, True])
def test_how_to_read_the_columns(nonnegative):
    text = parsed(
        render_page(decomposition_page([record(settings={"nonnegative": nonnegative})], ["run"]))
    ).text
    assert "Columns have length 1; amounts are a column times the weight" in text
    assert ("Signs come in pairs" in text) != nonnegative
    assert ("No entry is negative" in text) == nonnegative


@pytest.mark.parametrize(
    ("format", "parts"),
    [("cp", "parts.weights, parts.factors"), ("tucker", "parts.core, parts.factors"), ("tt", "parts.cores")],
)
def test_how_to_read_the_parts_in_python(format, parts):
    page = decomposition_page([record(format=format)], ["'my run'"])
    (code,) = [block.text for block in page.sections[3].blocks if isinstance(block, Code)]
    assert code == (
        f"import rankfold\nparts = rankfold.load_decomposition('my run/factors.safetensors'); {parts}"
    )


def test_values_that_a_logarithmic_axis_cannot_show_are_counted():
    path = [
        {**step, "evidence": evidence}
        for step, evidence in zip(SUMMARY["rank_path"], (4.0, 0.0, -2.0), strict=True)
    ]
    text = parsed(render_page(decomposition_page([record(rank_path=path)], ["run"]))).text
    assert "2 values of 0 or less are not drawn: the axis is logarithmic." in text
    assert "not drawn" not in parsed(render_page(decomposition_page([record()], ["run"]))).text

"""What the guide to decompositions shows is true: its blocks run, and its figures are those the code gives."""

import re
import shlex

import numpy as np
import pytest
import torch
from tests.docs.pages import Shown, blocks_of, has_data, text_of

import rankfold
from rankfold.decompose import METHODS

PAGE = "docs/decompose.md"
GUIDE = text_of(PAGE)
PROSE = " ".join(re.sub(r"```.*?```|<!--.*?-->", "", GUIDE, flags=re.DOTALL).split())
needs_data = pytest.mark.skipif(
    not all(has_data(block.needs) for block in blocks_of(PAGE) if block.needs is not None),
    reason="RANKFOLD_DATA names no folder with these data sets",
)


def stated(sentence: str, value: float) -> None:
    """The figure in braces is the value, to one unit of its last digit."""
    before, after = (re.escape(part) for part in sentence.split("{}"))
    (figure,) = re.findall(rf"{before}(\d+(?:\.\d+)?){after}", PROSE)
    digits = len(figure.partition(".")[2])
    assert abs(float(figure) - value) <= 10.0**-digits, (sentence, figure, value)


def test_shortest_example(shown: Shown) -> None:
    parts = shown["parts"]
    stated("`parts.rank` is {}, and", parts.rank)
    stated("`parts.relative_error` {} is the noise", parts.relative_error)
    ones = torch.ones(parts.rank, dtype=torch.float64)
    for factor in (shown["first"], shown["second"], shown["third"]):
        torch.testing.assert_close(factor.norm(dim=0), ones)
    assert shown["weights"].tolist() == sorted(shown["weights"].tolist(), reverse=True)


def test_how_sure(shown: Shown) -> None:
    evidence = shown["ranks"]
    stated("above 1 is chosen, here {};", max(rank for rank, value in evidence.items() if value > 1))
    assert max(evidence[1], evidence[2]) < 1
    assert shown["sure"].reached
    assert not shown["cancel"].suspected
    assert shown["core"] == pytest.approx(100, abs=1)
    five = rankfold.cp(shown["cube"], 5, generator=0)
    assert five.core_consistency is not None
    stated("with two components and still has {}.", five.core_consistency)


def test_without_a_best_fit(shown: Shown) -> None:
    two, three = shown["two"], shown["three"]
    assert not two.agreement.reached
    assert two.degeneracy.suspected
    assert three.agreement.exact
    assert not three.degeneracy.suspected


def test_gaps(shown: Shown) -> None:
    stated("With {} % missing the rank found", round(100 * float(np.isnan(shown["holes"]).mean())))
    stated("the rank found is {} again", shown["filled"].rank)
    stated("never seen are predicted to {} of their norm", shown["gap_error"])
    empty = shown["holes"].copy()
    empty[0] = np.nan
    with pytest.raises(rankfold.ShapeError, match="nothing is observed"):
        rankfold.cp(empty, 3, mask="nan")


def test_signs_and_symmetry(shown: Shown) -> None:
    positive, same = shown["positive"], shown["same"]
    assert positive.rank == 2
    assert all(bool((factor >= 0).all()) for factor in positive.tensor.factors)
    assert same.rank == 3
    assert same.relative_error < 1e-6
    first = same.tensor.factors[0].abs()
    for factor in same.tensor.factors[1:]:
        torch.testing.assert_close(factor.abs(), first)


def test_sparse_tensors_and_counts(shown: Shown) -> None:
    assert shown["found"].agreement.exact
    rates = torch.from_numpy(shown["rates"])
    errors = [float((shown[name].tensor.to_dense() - rates).norm()) for name in ("poisson", "squared")]
    stated("its error is {} of that of least squares", errors[0] / errors[1])
    with pytest.raises(rankfold.OptionError, match="gradient_flow"):
        rankfold.cp(shown["counts"], 3, loss="poisson")
    with pytest.raises(rankfold.ShapeError, match="floating point"):
        rankfold.cp(shown["counts"].astype(int), 3)


def test_tucker_and_trains(shown: Shown) -> None:
    assert shown["by_error"].tensor.ranks == (3, 3, 3)
    assert shown["train"].tensor.ranks == (3, 3)
    assert max(shown[name].relative_error for name in ("by_error", "train")) <= 0.1


def test_every_method_is_in_the_table() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)) == sorted(METHODS)
    assert [name for name in METHODS if "poisson" in METHODS[name].takes] == ["gradient_flow"]
    assert not {"masked", "sparse"} & METHODS["algebraic"].takes


def test_collinear_components_are_lost_in_noise() -> None:
    draw = np.random.default_rng(1)
    stated("Components with a cosine of {} in every mode", 0.9)
    mix = np.linalg.cholesky(np.full((5, 5), 0.9) + 0.1 * np.eye(5)).T
    factors = [np.linalg.qr(draw.standard_normal((20, 5)))[0] @ mix for _ in range(3)]
    clean = np.einsum("ir,jr,kr->ijk", *factors)
    noise = draw.standard_normal(clean.shape) * np.linalg.norm(clean) / clean.size**0.5
    truth = rankfold.CP(torch.ones(5, dtype=torch.float64), tuple(map(torch.from_numpy, factors)))
    little, much = (rankfold.cp(clean + level * noise, 5, generator=0) for level in (0.01, 0.1**0.5))
    assert rankfold.factor_match_score(little.tensor, truth) > 0.99
    (bound,) = re.findall(r"match with the truth is below (\d\.\d)", PROSE)
    assert rankfold.factor_match_score(much.tensor, truth) < float(bound)
    assert rankfold.cp(clean + 0.1**0.5 * noise, generator=0).rank < truth.rank


def test_a_told_rank_bears_many_gaps() -> None:
    draw = np.random.default_rng(0)
    x = np.einsum("ir,jr,kr->ijk", *(draw.standard_normal((15, 3)) for _ in range(3)))
    known = draw.random(x.shape) < 0.2
    parts = rankfold.cp(np.where(known, x, np.nan), 3, mask="nan", generator=0)
    assert np.linalg.norm(parts.tensor.to_dense().numpy() - x) < 1e-4 * np.linalg.norm(x)


def test_large_data_with_gaps_are_fitted_once() -> None:
    draw = np.random.default_rng(0)
    large = draw.standard_normal((32, 32, 33))
    large[draw.random(large.shape) < 0.3] = np.nan
    assert rankfold.cp(large, 4, mask="nan", max_iterations=2, generator=0).agreement.runs == 1
    assert rankfold.cp(large, 4, mask="nan", max_iterations=2, restarts=3, generator=0).agreement.runs == 3
    small = large[:, :, :32]
    assert rankfold.cp(small, 4, mask="nan", max_iterations=2, generator=0).agreement.runs > 1
    stated("(more than 32,{} entries)", small.size - 32_000)


def test_command_line(shown: Shown) -> None:
    assert len(shown.printed) == 4
    for line, printed in shown.printed.items():
        assert f"results: {shlex.split(line)[-1]}" in printed
    written = {path.name for path in (shown.folder / "found").iterdir()}
    assert {"factors.safetensors", "mode_0.csv", "mode_1.csv", "mode_2.csv", "summary.json"} <= written
    assert rankfold.load_decomposition(shown.folder / "found/factors.safetensors").ranks == (3,)


@needs_data
def test_amino_acids(shown: Shown) -> None:
    substances, concentrations = shown["substances"], shown["amino"]["Y"]
    stated("fluorescence of {} mixtures", concentrations.shape[0])
    stated("mixtures of {} substances", concentrations.shape[1])
    stated("`cp` finds {}, and", substances.rank)
    stated("concentrations by at least {}.", float(np.abs(shown["correlation"]).max(0).min()))
    stated("the core consistency from {} to", substances.core_consistency)
    stated("consistency from 99.9 to {}.", shown["four"].core_consistency)


@needs_data
def test_taxi_trips(shown: Shown) -> None:
    stated("hour of the week, {} % of the entries hidden", 100 * float(shown["hidden"].mean()))
    stated("misses the hidden entries by {} of their norm", shown["by_mean"])
    stated("their norm; {} components miss", shown["taxi"].rank)
    stated("components miss them by {}.", shown["by_parts"])


@needs_data
def test_weather(shown: Shown) -> None:
    airports, _, _, variables = shown["weather"].shape
    stated("**Weather** at {} airports", airports)
    stated("day x hour x {} variables", variables)
    stated("variables, {} % missing", 100 * float(np.isnan(shown["weather"]).mean()))
    stated("is predicted to {} of its norm", shown["unseen"])
    stated("of its norm by {} components", shown["days"].rank)


@needs_data
def test_matrix_multiplication(shown: Shown) -> None:
    product = torch.zeros(4, 4, 4, dtype=torch.float64)
    for i in range(2):
        for j in range(2):
            for k in range(2):
                product[2 * i + j, 2 * j + k, 2 * k + i] = 1
    assert torch.equal(shown["strassen"], product)
    assert shown["own"].agreement.exact
    stated("matrices takes {} products", shown["own"].rank)
    stated("products instead of {}:", int(product.sum()))

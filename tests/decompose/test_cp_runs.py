"""Independent runs and their agreement, with solvers whose answers are known."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, noisy, settings
from torch import Tensor

from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._methods import Settings, Solve
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._result import Agreement, TracePoint
from rankfold.decompose._runs import Run, agreeing_runs

TRUTH = drawn((5, 4, 6), 2, 1)
DATA = CompleteData(noisy(dense(TRUTH), 0.1, 1))


def moved(by: float, seed: int = 2) -> list[Tensor]:
    return [f + by * g for f, g in zip(TRUTH, drawn((5, 4, 6), 2, seed), strict=True)]


def error(factors: Sequence[Tensor]) -> float:
    return (2 * DATA.loss(factors)) ** 0.5 / DATA.norm


def answers(*given: list[Tensor], calls: list[int] | None = None) -> Iterator[Solve]:
    """One solver after another, each with its answer."""

    def solver(answer: list[Tensor]) -> Callable[[Data, int, Settings], list[Tensor]]:
        def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
            assert (data, rank) == (DATA, 2)
            if calls is not None:
                calls.append(rank)
            return answer

        return solve

    yield from (solver(answer) for answer in given)


def run(*given: list[Tensor], most: int = 9, exact: float = 1e-6, **options: object) -> tuple[Run, Agreement]:
    return agreeing_runs(DATA, 2, settings(), answers(*given), most=most, exact=exact, **options)  # type: ignore[arg-type]


def test_two_equal_answers_end_the_runs() -> None:
    best, agreement = run(moved(0.5), moved(0.0), moved(0.3), moved(0.0), moved(0.2))
    assert (agreement.runs, agreement.agreeing, agreement.exact, agreement.reached) == (4, 2, False, True)
    assert best.relative_error == error(TRUTH)


def test_the_order_and_signs_of_components_do_not_matter() -> None:
    swapped = [f.flip(1) for f in TRUTH]
    swapped[0], swapped[1] = -swapped[0], -2 * swapped[1]
    swapped[2] = swapped[2] / 2
    _, agreement = run(TRUTH, swapped)
    assert (agreement.runs, agreement.agreeing) == (2, 2)


def test_worse_answers_that_agree_do_not_count() -> None:
    best, agreement = run(moved(0.0), moved(0.5), moved(0.5), moved(0.5), most=4)
    assert (agreement.runs, agreement.agreeing, agreement.reached) == (4, 1, False)
    assert best.relative_error == error(TRUTH)


def test_a_better_answer_starts_the_count_again() -> None:
    best, agreement = run(moved(0.5), moved(0.4), moved(0.0), moved(0.5), moved(0.0))
    assert (agreement.runs, agreement.agreeing) == (5, 2)
    assert best.relative_error == error(TRUTH)


def test_the_same_error_with_other_components_is_no_agreement() -> None:
    # Two models at the same distance from their mean.
    other = [TRUTH[0].flip(1), *TRUTH[1:]]
    data = CompleteData((dense(TRUTH) + dense(other)) / 2)

    def solvers() -> Iterator[Solve]:
        for answer in (TRUTH, other, TRUTH):
            yield lambda data, rank, settings, answer=answer: answer

    assert data.loss(TRUTH) == pytest.approx(data.loss(other), rel=1e-12)
    _, agreement = agreeing_runs(data, 2, settings(), solvers(), most=2, exact=1e-6)
    assert (agreement.runs, agreement.agreeing, agreement.reached) == (2, 1, False)


def test_an_exact_fit_is_enough() -> None:
    calls: list[int] = []
    data_error = error(moved(0.0))
    starts = answers(TRUTH, TRUTH, calls=calls)
    _, agreement = agreeing_runs(DATA, 2, settings(), starts, most=9, exact=data_error * 1.01)
    assert (agreement.runs, agreement.agreeing, agreement.exact, agreement.reached) == (1, 1, True, True)
    assert len(calls) == 1


def test_one_run_is_one_run() -> None:
    calls: list[int] = []
    _, agreement = agreeing_runs(DATA, 2, settings(), answers(TRUTH, TRUTH, calls=calls), most=1, exact=0)
    assert (agreement.runs, agreement.agreeing, agreement.reached, len(calls)) == (1, 1, False, 1)


def test_runs_made_before_count() -> None:
    calls: list[int] = []
    known = [Run(TRUTH, error(TRUTH))]
    starts = answers(moved(0.0), moved(0.0), calls=calls)
    _, agreement = agreeing_runs(DATA, 2, settings(), starts, most=9, exact=0, known=known)
    assert (agreement.runs, agreement.agreeing, len(calls)) == (2, 2, 1)
    assert len(known) == 1


def test_a_stop_ends_the_runs_with_the_best() -> None:
    def stop(point: TracePoint) -> bool:
        return point.rank == 2

    recorder = Recorder(stop)
    calls: list[int] = []

    def noted() -> Iterator[Solve]:
        for answer in (moved(0.5), moved(0.0), moved(0.0)):

            def solve(data: Data, rank: int, given: Settings, answer: list[Tensor] = answer) -> list[Tensor]:
                calls.append(rank)
                given.recorder.note("fake", 1.0, 2 if len(calls) == 2 else 1)
                return answer

            yield solve

    best, agreement = agreeing_runs(DATA, 2, settings(recorder=recorder), noted(), most=9, exact=0)
    assert (agreement.runs, len(calls)) == (2, 2)
    assert best.relative_error == error(TRUTH)


def test_factors_are_handed_on_as_they_are() -> None:
    best, _ = run(TRUTH, most=1)
    assert all(torch.equal(a, b) for a, b in zip(best.factors, TRUTH, strict=True))

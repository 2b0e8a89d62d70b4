"""A classifier trained on coarse signals, refined without loss, beside one trained on fine signals from the start."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._multiscale_runs import refined_run, scratch_run
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MULTISCALE"]

_LENGTHS = (16, 32, 64)
_FINER = _LENGTHS[1:]
_RANK = 10


def _cases(parameters: Parameters) -> list[Case]:
    epochs = parameters["epochs"]
    seeds = [parameters["seed"] + number for number in range(parameters["seeds"])]
    refined = [
        {
            "part": "refined",
            "lengths": list(_LENGTHS),
            "rank": _RANK,
            "rate": rate,
            "epochs": epochs,
            "seed": seed,
        }
        for rate in parameters["rates"]
        for seed in seeds
    ]
    scratch = [
        # The bonds that a refined classifier has, and its epochs at this length or at all lengths so far.
        {
            "part": "scratch",
            "length": length,
            "rank": 2 * _RANK,
            "rate": rate,
            "epochs": count * epochs,
            "times": count,
            "seed": seed,
        }
        for number, length in enumerate(_FINER, start=2)
        for count in (1, number)
        for rate in parameters["rates"]
        for seed in seeds
    ]
    return [*refined, *scratch]


def _run(case: Case, setting: Setting) -> Record:
    return refined_run(case, setting) if case["part"] == "refined" else scratch_run(case, setting)


def _scale(rows: Sequence[Record], length: int) -> list[Record]:
    """What refined runs measured at a length, beside their rates and seeds."""
    return [
        {**scale, "rate": row["rate"], "seed": row["seed"]}
        for row in rows
        for scale in row["scales"]
        if scale["length"] == length
    ]


def _at_best_rate(rows: Sequence[Record]) -> list[Record]:
    """The records at the rate with the best mean on what was held out, by seed; the lower rate where two are equal."""
    rates = sorted({row["rate"] for row in rows})
    if not rates:
        return []
    best = max(rates, key=lambda rate: mean(row["held out"] for row in rows if row["rate"] == rate))
    return sorted((row for row in rows if row["rate"] == best), key=lambda row: row["seed"])


def _refined(records: Records, length: int) -> list[Record]:
    return _at_best_rate(_scale(records.where(part="refined"), length))


def _difference(records: Records) -> float:
    rows = records.where(part="refined")
    return max(scale["difference"] for length in _FINER for scale in _scale(rows, length))


def _moved(records: Records) -> float:
    rows = records.where(part="refined")
    return max(abs(scale["arrived"] - scale["coarse"]) for length in _FINER for scale in _scale(rows, length))


def _trained(records: Records, length: int) -> float:
    """Mean gain of training at a length over what came from the coarser one, in points."""
    return 100 * mean(row["test"] - row["arrived"] for row in _refined(records, length))


def _against_scratch(records: Records, length: int, times: int) -> float:
    """Mean test accuracy above that of training from scratch, in points, each at its own best rate."""
    scratch = _at_best_rate(records.where(part="scratch", length=length, times=times))
    return 100 * (
        mean(row["test"] for row in _refined(records, length)) - mean(row["test"] for row in scratch)
    )


_CHECKS = (
    Check(
        name="exact",
        statement="refining changes no output: largest difference relative to the outputs, within 1e-10",
        measure=_difference,
        most=1e-10,
    ),
    Check(
        name="accuracy",
        statement="and no answer: largest change of the test accuracy",
        measure=_moved,
        most=0.0,
    ),
    *(
        check
        for number, length in enumerate(_FINER, start=2)
        for check in (
            Check(
                name=f"trained {length}",
                statement=f"training on at {length} samples tests no worse than the coarser classifier (mean gain)",
                measure=lambda records, length=length: _trained(records, length),
                least=0.0,
            ),
            Check(
                name=f"head start {length}",
                statement=(
                    f"at {length} samples it tests no worse than as many epochs at that length from scratch (mean gain)"
                ),
                measure=lambda records, length=length: _against_scratch(records, length, 1),
                least=0.0,
            ),
            Check(
                name=f"control {length}",
                statement=(
                    f"nor than as many epochs from scratch as all its lengths took together, {number} times as many"
                ),
                measure=lambda records, length=length, number=number: _against_scratch(
                    records, length, number
                ),
                least=0.0,
            ),
        )
    ),
)


def _line(length: int, words: str, rows: Sequence[Record]) -> dict[str, Any]:
    tested = [row["test"] for row in rows]
    spread = stdev(tested) / len(tested) ** 0.5 if len(tested) > 1 else 0.0
    return {
        "samples": length,
        "classifier": words,
        "largest bond": max(row["bond"] for row in rows),
        "rate": rows[0]["rate"],
        "held out %": 100 * mean(row["held out"] for row in rows),
        "test %": 100 * mean(tested),
        "standard error": 100 * spread,
    }


def _groups(records: Records) -> list[tuple[int, str, list[Record]]]:
    """Length, words and records at the best rate, of everything that was run."""
    refined = records.found(part="refined")
    found = []
    for number, length in enumerate(_LENGTHS, start=1):
        words = "trained" if number == 1 else "refined and trained on"
        found.append((length, words, _at_best_rate(_scale(refined, length))))
        for times in sorted({1, number}) if number > 1 else []:
            rows = _at_best_rate(records.found(part="scratch", length=length, times=times))
            epochs = "the same epochs" if times == 1 else f"{times} times the epochs"
            found.append((length, f"from scratch, {epochs}", rows))
    return [group for group in found if group[2]]


def _tables(records: Records) -> list[Table]:
    moved = [
        {
            "samples": length,
            "largest difference of outputs": max(scale["difference"] for scale in scales),
            "test % before refining": 100 * mean(scale["coarse"] for scale in scales),
            "after": 100 * mean(scale["arrived"] for scale in scales),
            "and training": 100 * mean(scale["test"] for scale in scales),
        }
        for length in _FINER
        if (scales := _at_best_rate(_scale(records.found(part="refined"), length)))
    ]
    return [
        Table(
            "Classifiers, each at the rate that does best on held-out images",
            [_line(*group) for group in _groups(records)],
        ),
        Table("What refining did", moved),
    ]


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(6.4, 3.6)
    axes = figure.subplots()
    kinds: dict[str, list[tuple[int, float]]] = {}
    for length, words, rows in _groups(records):
        kind = "trained, then refined and trained on" if "scratch" not in words else words
        kinds.setdefault(kind, []).extend((length, 100 * row["test"]) for row in rows)
    for index, (words, points) in enumerate(sorted(kinds.items(), reverse=True)):
        shift = 1.0 + 0.05 * index
        style = {**line_style(index), "linestyle": "none"}
        axes.plot([x * shift for x, _ in points], [y for _, y in points], label=words, alpha=0.7, **style)
    axes.set(xlabel="samples of the signal", ylabel="test accuracy in percent, a point a seed", xscale="log")
    axes.set_xticks(_LENGTHS, labels=[str(length) for length in _LENGTHS], minor=False)
    axes.minorticks_off()
    if kinds:
        axes.legend(fontsize=7, loc="upper left")


MULTISCALE = Study(
    name="multiscale",
    title="From coarse signals to fine ones without loss",
    claim=(
        "A matrix product state trained on wavelet-coarsened signals becomes one of finer signals with essentially no "
        "loss, and is a good start for training there."
    ),
    paper="Reyes, Stoudenmire 2020, A Multi-Scale Tensor Network Architecture for Classification and Regression",
    quick={"seed": 0, "seeds": 3, "rates": [0.003, 0.01], "epochs": 10},
    full={"seed": 0, "seeds": 10, "rates": [0.001, 0.003, 0.01, 0.03], "epochs": 20},
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "The paper has audio and temperatures, two kinds of wavelets, and sweeps over two cores at a time; here 8 x 8 "
        "digits are read along a Z-order curve, coarsened by Haar wavelets, and trained by Adam in float64.",
        "With features (1, x) the Haar layer is exact, so refining loses nothing but rounding; this is arithmetic and "
        "does not depend on the data. What training from there gains does.",
        "Refining doubles bonds at most; what is trained from scratch has twice the bonds of the coarse classifier "
        "from the beginning, so that neither side has more room.",
        "An epoch at 16 samples takes about a quarter of the products of one at 64: the control counts epochs, which "
        "favours training from scratch.",
    ),
)

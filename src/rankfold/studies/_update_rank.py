"""The rank of what training changes: a one-layer transformer on patterns, and a network of this library."""

from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from rankfold.studies._checks import Check
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Case, Record, Records
from rankfold.studies._study import Parameters, Setting, Study, Table
from rankfold.studies._update_rank_networks import LAYERS, compare_ranks
from rankfold.studies._update_rank_patterns import ATTENTION, SHARES, train_on_patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UPDATE_RANK"]

_LOW_NOISE = 0.05
_MATRICES = (*ATTENTION, "output")


def _cases(parameters: Parameters) -> list[Case]:
    seeds = range(parameters["seed"], parameters["seed"] + parameters["seeds"])
    patterns: list[Case] = [
        {"part": "patterns", "labels": labels, "noise": noise, "steps": parameters["steps"], "seed": seed}
        for labels in ("pattern", "random")
        for noise in parameters["noises"]
        for seed in seeds
    ]
    size = {name: parameters[name] for name in ("images", "epochs")}
    networks: list[Case] = [
        {"part": "network", "tolerance": tolerance, **size, "seed": seed}
        for tolerance in parameters["tolerances"]
        for seed in seeds
    ]
    return patterns + networks


def _run(case: Case, setting: Setting) -> Record:
    return train_on_patterns(case) if case["part"] == "patterns" else compare_ranks(case, setting)


def _learned(records: Records, most_noise: float = float("inf")) -> list[Record]:
    return records.where(
        lambda case: case["part"] == "patterns" and case["noise"] <= most_noise, labels="pattern"
    )


def _of_matrices(rows: Sequence[Record], name: str, matrices: Sequence[str] = ATTENTION) -> list[float]:
    return [row[name][matrix] for row in rows for matrix in matrices]


def _change(records: Records, error: Callable[[Record], float]) -> float:
    return max(error(row) - row["error"] for row in _learned(records))


def _ratio(records: Records, wanted: str) -> float:
    """The largest factor, up or down, between suggested ranks and those that TDLRT found at tolerance 0.1."""
    pairs = [
        (row[wanted][layer], row["found"][layer])
        for row in records.where(part="network", tolerance=0.1)
        for layer in LAYERS
    ]
    return max(max(one / two, two / one) for one, two in pairs)


def _lost(records: Records, name: str) -> float:
    rows = [row["accuracy"] for row in records.where(part="network", tolerance=0.1)]
    return mean(row["dense"] - row[name] for row in rows)


_CHECKS = (
    Check(
        name="F1 energy",
        statement=(
            "noise up to 0.05: the two largest singular values hold 99 % of the squared norm of every update of W_Q, "
            "W_K, W_V: least share"
        ),
        measure=lambda records: min(_of_matrices(_learned(records, _LOW_NOISE), "energy")),
        least=0.99,
    ),
    Check(
        name="F1 learned",
        statement="noise up to 0.05: no test sequence is wrong: largest error",
        measure=lambda records: max(row["error"] for row in _learned(records, _LOW_NOISE)),
        most=0.0,
    ),
    Check(
        name="F1 directions",
        statement=(
            "noise up to 0.05: those updates read the span of the two deciding patterns: least mean squared cosine"
        ),
        measure=lambda records: min(_of_matrices(_learned(records, _LOW_NOISE), "alignment")),
        least=0.8,
    ),
    Check(
        name="F1 rank two",
        statement="updates of W_Q, W_K, W_V cut to rank 2 cost at most 1 point of test error",
        measure=lambda records: _change(records, lambda row: row["truncated"]["2"]),
        most=0.01,
    ),
    Check(
        name="F1 small neurons",
        statement="without the 90 % smallest neurons the test error rises by at most 1 point",
        measure=lambda records: _change(records, lambda row: row["pruned small"][SHARES.index(0.9)]),
        most=0.01,
    ),
    Check(
        name="F1 large neurons",
        statement="without the 90 % largest neurons at least 30 % are wrong: least error",
        measure=lambda records: min(row["pruned large"][SHARES.index(0.9)] for row in _learned(records)),
        least=0.3,
    ),
    Check(
        name="control: directions",
        statement=(
            "with labels drawn at random the updates read other directions: largest mean squared cosine of W_Q, W_K, "
            "W_V"
        ),
        measure=lambda records: max(
            _of_matrices(records.where(part="patterns", labels="random"), "alignment")
        ),
        most=0.5,
    ),
    Check(
        name="control: rank",
        statement="with labels drawn at random no update has 99 % in two singular values: largest share, W_O included",
        measure=lambda records: max(
            _of_matrices(records.where(part="patterns", labels="random"), "energy", _MATRICES)
        ),
        most=0.99,
    ),
    Check(
        name="ours: ranks",
        statement=(
            "ranks suggested by dense updates (99 %) are within a factor of 2 of those TDLRT finds (tolerance 0.1) in "
            "every layer"
        ),
        measure=lambda records: _ratio(records, "suggested"),
        most=2.0,
    ),
    Check(
        name="ours: cut",
        statement="the dense network with its updates cut to the suggested ranks loses at most 1 point",
        measure=lambda records: _lost(records, "cut"),
        most=0.01,
    ),
    Check(
        name="ours: adapters",
        statement="adapters of the suggested ranks on the frozen start end within 1 point of dense training",
        measure=lambda records: _lost(records, "adapters"),
        most=0.01,
    ),
    Check(
        name="ours: low rank",
        statement="weights of the suggested ranks, trained from the start, end within 1 point of dense training",
        measure=lambda records: _lost(records, "low rank"),
        most=0.01,
    ),
    Check(
        name="control: weights",
        statement="the ranks of the dense weights themselves are off by more: largest factor",
        measure=lambda records: _ratio(records, "weight"),
        least=2.0,
    ),
)


def _tables(records: Records) -> list[Table]:
    updates: list[dict[str, Any]] = []
    for labels in ("pattern", "random"):
        noises = dict.fromkeys(row["noise"] for row in records.found(part="patterns", labels=labels))
        for noise in noises:
            rows = records.found(part="patterns", labels=labels, noise=noise)
            updates += [
                {
                    "labels": labels,
                    "noise": noise,
                    "matrix": matrix,
                    "in two singular values, least": min(row["energy"][matrix] for row in rows),
                    "stable rank": mean(row["stable rank"][matrix] for row in rows),
                    "cosine² with the patterns": mean(row["alignment"][matrix] for row in rows),
                    "error %": 100 * mean(row["error"] for row in rows),
                    "error % at rank 1": 100 * mean(row["truncated"]["1"] for row in rows),
                }
                for matrix in _MATRICES
            ]
    pruned = [
        {
            "noise": row["noise"],
            "seed": row["seed"],
            "what is pruned": what,
            **{f"{100 * share:.0f} %": 100 * error for share, error in zip(SHARES, row[key], strict=True)},
        }
        for row in records.found(part="patterns", labels="pattern")
        for what, key in (("smallest neurons", "pruned small"), ("largest neurons", "pruned large"))
    ]
    ranks = [
        {"tolerance": tolerance, "layer": layer}
        | {
            title: mean(row[key][layer] for row in rows)
            for title, key in (
                ("of the dense weight", "weight"),
                ("of the dense update", "suggested"),
                ("found by TDLRT", "found"),
            )
        }
        for tolerance, rows in _by_tolerance(records).items()
        for layer in LAYERS
    ]
    worth = [
        {"tolerance": tolerance, "network": name}
        | {"accuracy %": 100 * mean(row["accuracy"][name] for row in rows)}
        | {"trained parameters": mean(row["parameters"][name] for row in rows)}
        for tolerance, rows in _by_tolerance(records).items()
        for name in rows[0]["accuracy"]
    ]
    return [
        Table("Updates of the one-layer transformer", updates),
        Table("Test error in percent with a share of the neurons pruned", pruned),
        Table("Digits: mean ranks that keep 1 - tolerance² of the squared norm", ranks),
        Table("Digits: what the networks are worth", worth),
    ]


def _by_tolerance(records: Records) -> dict[float, list[Record]]:
    found: dict[float, list[Record]] = {}
    for row in records.found(part="network"):
        found.setdefault(row["tolerance"], []).append(row)
    return found


def _plot(records: Records, figure: "Figure") -> None:
    figure.set_size_inches(10, 3.4)
    energy, pruned, ranks = figure.subplots(1, 3)
    for index, labels in enumerate(("pattern", "random")):
        rows = records.found(part="patterns", labels=labels)
        values = [(place, row["energy"][name]) for row in rows for place, name in enumerate(_MATRICES)]
        style = {**line_style(index), "linestyle": "none"}
        shown = [(place + 0.2 * index - 0.1, 1 - value) for place, value in values]
        energy.plot([x for x, _ in shown], [y for _, y in shown], label=f"labels: {labels}", **style)
    energy.axhline(0.01, color="0.5", linewidth=0.8)
    energy.set_xticks(range(len(_MATRICES)), labels=["W_Q", "W_K", "W_V", "W_O"])
    energy.set(yscale="log", xlabel="matrix", ylabel="share of the update beyond rank 2")
    energy.legend(fontsize=7)
    noises = sorted({row["noise"] for row in records.found(part="patterns", labels="pattern")})
    for index, (what, key) in enumerate((("smallest", "pruned small"), ("largest", "pruned large"))):
        for noise in noises:
            rows = records.found(part="patterns", labels="pattern", noise=noise)
            curve = [100 * mean(row[key][place] for row in rows) for place in range(len(SHARES))]
            label = f"{what}" if noise == noises[0] else None
            pruned.plot([100 * share for share in SHARES], curve, label=label, alpha=0.7, **line_style(index))
    pruned.set(xlabel="neurons pruned in percent", ylabel="test error in percent")
    if noises:
        pruned.legend(fontsize=7)
    drawn = list(_by_tolerance(records))
    for index, tolerance in enumerate(drawn):
        rows = _by_tolerance(records)[tolerance]
        pairs = [(row["suggested"][layer], row["found"][layer]) for row in rows for layer in LAYERS]
        style = {**line_style(index), "linestyle": "none"}
        ranks.plot([x for x, _ in pairs], [y for _, y in pairs], label=f"tolerance {tolerance:g}", **style)
    ranks.set(xlabel="rank of the dense update", ylabel="rank that TDLRT found")
    if drawn:
        ranks.axline((0, 0), slope=1, color="0.5", linewidth=0.8)
        ranks.legend(fontsize=7)


UPDATE_RANK = Study(
    name="update-rank",
    title="The rank of what training changes",
    claim=(
        "On data whose label depends on two patterns, training a one-layer transformer changes its attention by "
        "matrices of rank two in the directions of the patterns and its output layer in few neurons, so that low-rank "
        "adapters and pruning by magnitude lose little."
    ),
    paper="Li, Wang, Zhang, Liu, Chen 2024, Learning on Transformers is Provable Low-Rank and Sparse",
    quick={
        "seed": 0,
        "seeds": 3,
        "noises": [0.0, 0.05, 0.2],
        "steps": 1000,
        "images": 1437,
        "epochs": 20,
        "tolerances": [0.05, 0.1, 0.2],
    },
    full={
        "seed": 0,
        "seeds": 10,
        "noises": [0.0, 0.05, 0.1, 0.2],
        "steps": 3000,
        "images": 1437,
        "epochs": 60,
        "tolerances": [0.05, 0.1, 0.2, 0.3],
    },
    cases=_cases,
    run=_run,
    checks=_CHECKS,
    tables=_tables,
    plot=_plot,
    remarks=(
        "Sizes, rates and noise are ours; of the paper's setting we had a description, not the numbers. An output of "
        "zero counts as wrong.",
        "The control of random labels decides what low rank is evidence of: where it has as much in two singular "
        "values, the low rank comes from the network, whose readout has two values only, and not from the patterns; "
        "the directions are what the patterns explain.",
        "Random labels leave the data as they are: 8 of 20 tokens are of the two patterns. How far updates turn to "
        "these for that reason alone is what the control of directions shows.",
        "The network of digits is trained four times from one start. TDLRT cuts the whole weight, start included, to "
        "its tolerance; the dense update leaves the start out, and the dense weight has it in full. What the rank of "
        "an update promises is that so many directions hold it, once they are known (cut). Adapters and weights of "
        "that rank begin in random directions and have to find them in as many steps.",
    ),
)

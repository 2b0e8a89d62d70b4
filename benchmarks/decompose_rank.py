"""Is the number of components found without being told (rankfold.cp without a rank)?"""

from typing import Any

import tyro

from benchmarks._cp_problems import add_noise, amplitude_of_energy, congruent, factors_of, seeded
from benchmarks._cp_runs import Run, median_seconds, ours, prepared, run, share
from benchmarks._cp_scores import component_congruence
from benchmarks._results import write_result

SHAPE, MATCH = (15, 15, 15), 0.97
# Components, cosine, per cent of the energy that is noise.
SETTINGS = (
    (3, 0.5, 1.0),
    (5, 0.0, 1.0),
    (5, 0.5, 0.01),
    (5, 0.5, 1.0),
    (5, 0.5, 10.0),
    (5, 0.9, 1.0),
    (8, 0.5, 1.0),
)
GRID = tuple((rank, c, energy) for rank in (3, 5, 8) for c in (0.0, 0.5, 0.9) for energy in (0.01, 1.0, 10.0))
NOTE = (
    "15 x 15 x 15, R unit-column components with the same cosine c between any two in every mode (0: orthonormal), "
    "Gaussian noise of the given per cent of the energy; a new tensor for every seed. found is the rank that "
    "rankfold.cp(x) gives, counted; matched: rank right and every true component with congruence (product over modes "
    "of |cos|) above 0.97. The setting c = 0.9 with 10 % noise is listed and belongs to no goal: the noise hides how "
    "nearly equal components differ."
)


def hidden_by_noise(c: float, energy: float) -> bool:
    """Whether components are too alike for the noise."""
    return c >= 0.9 and energy >= 10


def row(rank: int, c: float, energy: float, seeds: range) -> dict[str, Any]:
    """One line: the ranks found in one setting."""
    runs: list[Run] = []
    ranks, matched = [], []
    for seed in seeds:
        generator = seeded(seed)
        truth = congruent(SHAPE, rank, c, generator)
        x = add_noise(truth.to_dense(), amplitude_of_energy(energy), generator)
        one = run(lambda x=x, seed=seed: ours(x, None, seed=seed))
        runs.append(one)
        ranks.append(0 if one.factors is None else one.factors[0].shape[1])
        match = 0.0
        if one.factors is not None:
            match = float(component_congruence(factors_of(truth), one.factors).min())
        matched.append(ranks[-1] == rank and match > MATCH)
    line = {
        "R": rank,
        "c": c,
        "noise_percent": energy,
        "right": share([one == rank for one in ranks]),
        "share": round(sum(one == rank for one in ranks) / len(ranks), 3),
        "matched": share(matched),
        "found": " ".join(f"{one}:{ranks.count(one)}" for one in sorted(set(ranks))),
        "seconds": median_seconds(runs),
        "goal": not hidden_by_noise(c, energy),
    }
    print(line, flush=True)
    return line


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rank is right nearly always, in all settings together."""
    counted = [one["share"] for one in rows if one["goal"]]
    return {
        "cp: rank found": {
            "measured": round(100 * sum(counted) / len(counted), 1),
            "target": "≥ 95",
            "unit": f"% of the runs of {len(counted)} settings",
        }
    }


def main(seeds: int = 4, full: bool = False, threads: int = 1) -> None:
    """Find ranks, print a line per setting, and write the result.

    Arguments:
        seeds: number of tensors per setting.
        full: all 27 settings, 8 seeds.
        threads: torch threads.
    """
    count = 8 if full else seeds
    with prepared(threads) as facts:
        rows = [row(*setting, range(count)) for setting in (GRID if full else SETTINGS)]
    result = {
        "title": "CP decomposition: the rank is found",
        "note": NOTE,
        **facts,
        "seeds": count,
        "definitions": definitions(rows),
        "rows": rows,
    }
    print(result["definitions"])
    write_result("decompose_rank", result)


if __name__ == "__main__":
    tyro.cli(main)

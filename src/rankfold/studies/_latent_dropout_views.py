"""Tables and figure of the study of latent dropout, also of runs that are not complete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._latent_dropout_runs import ATTACKS
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table
from rankfold.studies._summaries import at_best, mean_of, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["at_rank", "plot", "tables"]

_KINDS = {
    "none": "neither",
    "dropout": "dropout of ranks, best rate",
    "decay": "weight decay, best strength",
    "fixed": "trained at the rank",
}
_WHOLE = 32
_ATTACKS = {"clean": "none", "fgsm": "FGSM", "pgd": "PGD-10", "eot": "PGD-10, EOT-20"}


def at_rank(ask: Callable[..., list[Record]], kind: str, rank: int) -> list[Record]:
    """The runs of a kind of training whose ranks are cut to this one, at the setting best on held-out images.

    Arguments:
        ask: ``records.where`` for checks, ``records.found`` for what may be partial.
        kind: ``'none'``, ``'dropout'``, ``'decay'`` or ``'fixed'``.
        rank: after the cut.
    """

    def meant(case: Any) -> bool:
        if case["part"] != "cut" or rank not in case["ranks"]:
            return False
        _, p, decay = case["recipe"]
        trained_there = case["rank"] == (rank if kind == "fixed" else _WHOLE)
        return trained_there and {"dropout": p > 0, "decay": decay > 0}.get(kind, p == decay == 0)

    return at_best(ask(meant), "recipe", f"held out at {rank}")


def tables(records: Records) -> list[Table]:
    """Attacks, cuts, means.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    return [
        Table("Accuracy in percent under attacks", _attacks(records)),
        Table(
            "Test accuracy in percent after the ranks were cut, by SVD and without training on",
            _cuts(records),
        ),
        Table("The same at every rate and strength", _every_cut(records)),
        Table(
            "Mean of many draws at p = 0.3",
            [
                {
                    "format and ranks": row["format"],
                    "drops": "at test time" if row["at_test"] else "in training",
                    "slope": row["slope"],
                }
                for row in records.found(part="mean")
            ],
        ),
    ]


def _attacks(records: Records) -> list[dict[str, Any]]:
    lines = []
    groups: dict[tuple[bool, float, bool], list[Record]] = {}
    for row in records.found(part="attack"):
        groups.setdefault((row["adversarial"], row["p"], row["at_test"]), []).append(row)
    for (hard, p, at_test), rows in groups.items():
        line: dict[str, Any] = {"training": "adversarial" if hard else "plain", "p": p}
        line["drops"] = None if p == 0 else "at test time too" if at_test else "in training only"
        line["seeds"] = len(rows)
        for name, title in _ATTACKS.items():
            values = [row[name] for row in rows]
            line[title] = f"{mean_of(rows, name):.1f} ± {standard_error(values):.1f}"
        lines.append(line)
    return lines


def _ranks(records: Records) -> list[int]:
    return sorted({rank for row in records.found(part="cut") for rank in row["ranks"]}, reverse=True)


def _cuts(records: Records) -> list[dict[str, Any]]:
    lines = []
    for kind, title in _KINDS.items():
        line: dict[str, Any] = {"training": title}
        for rank in _ranks(records):
            rows = at_rank(records.found, kind, rank)
            if rows:
                values = [row[f"test at {rank}"] for row in rows]
                line[f"rank {rank}"] = (
                    f"{mean_of(rows, f'test at {rank}'):.1f} ± {standard_error(values):.1f}"
                )
        if len(line) > 1:
            lines.append(line)
    return lines


def _every_cut(records: Records) -> list[dict[str, Any]]:
    groups: dict[tuple[float, ...], list[Record]] = {}
    for row in records.found(part="cut", rank=_WHOLE):
        groups.setdefault(tuple(row["recipe"]), []).append(row)
    return [
        {"learning rate": rate, "p": p, "weight decay": decay}
        | {f"rank {rank}": mean_of(rows, f"test at {rank}") for rank in rows[0]["ranks"]}
        for (rate, p, decay), rows in groups.items()
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Accuracy over the probability for every attack; accuracy over the rank after the cut."""
    figure.set_size_inches(9, 3.8)
    attacks, cuts = figure.subplots(1, 2)
    _plot_attacks(records, attacks)
    ranks = _ranks(records)
    for number, (kind, title) in enumerate(_KINDS.items()):
        found = [(rank, rows) for rank in ranks if (rows := at_rank(records.found, kind, rank))]
        if found:
            cuts.errorbar(
                [rank for rank, _ in found],
                [mean_of(rows, f"test at {rank}") for rank, rows in found],
                yerr=[standard_error([row[f"test at {rank}"] for row in rows]) for rank, rows in found],
                label=title,
                capsize=2,
                **line_style(number),
            )
    cuts.set(
        xlabel="largest rank of every weight after the cut", ylabel="test accuracy, percent", xscale="log"
    )
    cuts.set_xticks(ranks, [str(rank) for rank in ranks])
    cuts.set_xticks([], minor=True)
    if ranks:
        cuts.legend(fontsize=7)


def _plot_attacks(records: Records, axes: "Axes") -> None:
    for number, name in enumerate(("clean", *ATTACKS)):
        for hard in (False, True):
            rows = records.found(part="attack", adversarial=hard, at_test=True)
            rates = sorted({row["p"] for row in rows})
            if not rates:
                continue
            style = {**line_style(number), "linestyle": "--" if hard else "-"}
            means = [mean_of([row for row in rows if row["p"] == rate], name) for rate in rates]
            label = None if hard else f"attack: {_ATTACKS[name]}"
            axes.plot(rates, means, label=label, **style)
    axes.set(
        xlabel="probability of dropping a rank, also at test time",
        ylabel="test accuracy, percent; dashed: adversarial training",
    )
    if records.found(part="attack"):
        axes.legend(fontsize=7)

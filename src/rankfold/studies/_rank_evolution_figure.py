"""Tables and figure of the study on ranks over training."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._plotting import COLOURS, HEAT, line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "tables"]

_COLUMNS = 3


def _trained(records: Records) -> list[Record]:
    """One run per setting, the first seed's, that has ranks."""
    rows = [row for row in records.found(part="training") if row["ranks"]]
    first = min((row["seed"] for row in rows), default=0)
    return [row for row in rows if row["seed"] == first]


def _label(row: Record) -> str:
    name = "" if row["integrator"] == "augmented" else f"{row['integrator']}, "
    start = "full" if row["start"] == "full" else f"rank {row['start']}"
    return f"{name}{start}, tau {row['tolerance']:g}" + (
        f", s {row['core_steps']}" if row["core_steps"] != 10 else ""
    )


def _ranks(axes: "Axes", rows: list[Record], layer: str) -> None:
    for index, row in enumerate(rows):
        steps, sums = zip(*row["ranks"][layer], strict=True)
        axes.plot(steps, sums, label=_label(row), **line_style(index, markers=False))
    axes.set(xlabel="step", ylabel="sum of ranks", title=f"LeNet-5, {layer}", ylim=(0, None))


def _dead_zone(axes: "Axes", figure: "Figure", rows: list[Record]) -> None:
    """Final rank by learning rate and tolerance, and the border of the formula."""
    core_steps = rows[0]["core_steps"]
    points = [(cell["rate"], row["tolerance"], cell["rank"]) for row in rows for cell in row["runs"]]
    rates, tolerances, ranks = zip(*points, strict=True)
    shown = axes.scatter(rates, tolerances, c=ranks, cmap=HEAT, vmin=1, vmax=8, marker="s", s=70)
    grown = [(cell["rate"], row["tolerance"]) for row in rows for cell in row["runs"] if cell["grew"]]
    if grown:
        axes.scatter(*zip(*grown, strict=True), marker=".", color="w", s=12, label="rank grew")
    border = sorted((row["tolerance"], row["border"]) for row in rows if row["border"] is not None)
    if border:
        axes.plot(
            [rate for _, rate in border],
            [t for t, _ in border],
            color=COLOURS[1],
            linewidth=2,
            label="border, formula",
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="learning rate",
        ylabel="tolerance",
        title=f"dead zone, {core_steps} core step" + ("s" if core_steps > 1 else ""),
    )
    axes.set_ylim(top=3 * max(tolerances))  # room for the legend
    axes.legend(fontsize=6, loc="upper left", facecolor="0.75")
    figure.colorbar(shown, ax=axes, label="final rank (teacher 6)")


def _matched(axes: "Axes", rows: list[Record]) -> None:
    for index, rate in enumerate(sorted({row["lr"] for row in rows}, reverse=True)):
        chosen = [row for row in rows if row["lr"] == rate]
        ratios = [row["augmented tolerance"] / row["parallel tolerance"] for row in chosen]
        style = {**line_style(index), "linestyle": ""}
        axes.loglog([row["tolerance"] for row in chosen], ratios, label=f"learning rate {rate:g}", **style)
    axes.axhspan(2, 10, color="0.9", label="claimed")
    axes.axhline(1, color="0.5", linewidth=0.8)
    axes.set(
        xlabel="tolerance of augmented",
        ylabel="ratio of tolerances",
        title="augmented / parallel, equal ranks",
    )
    axes.legend(fontsize=6)


def _starts(axes: "Axes", rows: list[Record]) -> None:
    settings = sorted({(row["lr"], row["core_steps"]) for row in rows}, reverse=True)
    for index, start in enumerate(sorted({row["start"] for row in rows})):
        for number, (lr, core_steps) in enumerate(settings):
            chosen = sorted(
                (row["tolerance"], row["rank"])
                for row in rows
                if (row["start"], row["lr"], row["core_steps"]) == (start, lr, core_steps)
            )
            if chosen:
                style = {**line_style(number), "linestyle": ("-", "--")[index % 2]}
                label = f"from {start}: lr {lr:g}, s {core_steps}"
                axes.semilogx(*zip(*chosen, strict=True), label=label, **style)
    axes.axhline(6, color="0.5", linewidth=0.8)
    axes.set(xlabel="tolerance", ylabel="final rank", title="starts from rank 2 and 24, teacher 6")
    axes.legend(fontsize=6)


def plot(records: Records, figure: "Figure") -> None:
    """Ranks of every layer, a map of the dead zone per number of core steps, starts and matched tolerances."""
    trained = _trained(records)
    dead = records.found(part="dead zone")
    first = [row for row in dead if row["seed"] == min(row["seed"] for row in dead)]
    panels: list[Callable[[Axes], None]] = [
        lambda axes, layer=layer: _ranks(axes, trained, layer)
        for layer in (trained[0]["ranks"] if trained else ())
    ]
    for steps in sorted({row["core_steps"] for row in first}):
        rows = [row for row in first if row["core_steps"] == steps]
        panels.append(lambda axes, rows=rows: _dead_zone(axes, figure, rows))
    for part, draw in (("starts", _starts), ("matched", _matched)):
        if rows := records.found(part=part):
            panels.append(lambda axes, rows=rows, draw=draw: draw(axes, rows))
    height = -(-(len(panels) + 1) // _COLUMNS)
    figure.set_size_inches(11, 3.1 * height)
    grid = figure.subplots(height, _COLUMNS, squeeze=False).ravel()
    for axes, draw in zip(grid, panels, strict=False):
        draw(axes)
        axes.title.set_fontsize(9)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_minor_formatter("")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if trained:
        handles, labels = grid[0].get_legend_handles_labels()
        title = "start and tolerance\n(panels of LeNet-5)"
        grid[len(panels)].legend(handles, labels, loc="center", title=title, fontsize=8)


def tables(records: Records) -> list[Table]:
    """Networks, dead zone, starts and matched tolerances, from what records there are."""
    return [
        Table(
            "LeNet-5: sums of ranks at the end by layer, and what the network is worth",
            [_network(row) for row in records.found(part="training")],
        ),
        Table(
            "Dead zone: least learning rate at which the rank grows, and where the formula has the border",
            [
                {
                    "core steps": row["core_steps"],
                    "tolerance": row["tolerance"],
                    "seed": row["seed"],
                    "least rate that grows": min((c["rate"] for c in row["runs"] if c["grew"]), default=None),
                    "border": row["border"],
                    "final ranks": ", ".join(str(cell["rank"]) for cell in row["runs"]),
                }
                for row in records.found(part="dead zone")
            ],
        ),
        Table(
            "Ranks found from above and from below; the teacher has rank 6",
            [
                {name: row[name] for name in ("tolerance", "lr", "core_steps", "start", "rank", "loss")}
                for row in records.found(part="starts")
            ],
        ),
        Table(
            "Augmented and parallel at equal sums of ranks",
            [
                {
                    "learning rate": row["lr"],
                    "seed": row["seed"],
                    "sum of ranks": row["wanted"],
                    **{
                        f"{name}: {what}": row[f"{name} {what}"]
                        for what in ("tolerance", "ranks", "loss")
                        for name in ("augmented", "parallel")
                    },
                    "ratio of tolerances": row["augmented tolerance"] / row["parallel tolerance"],
                }
                for row in records.found(part="matched")
            ],
        ),
    ]


def _network(row: Record) -> dict[str, Any]:
    ends = {name: f"{series[0][1]} -> {series[-1][1]}" for name, series in row["ranks"].items()}
    setting = {name: row[name] for name in ("integrator", "start", "tolerance", "core_steps", "seed")}
    return {**setting, **ends, "parameters": row["parameters"], "test accuracy": row["accuracy"]}

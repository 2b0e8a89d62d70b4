"""Tables and figure of the study on the integrators' guarantees: one panel per guarantee."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rankfold.studies._plotting import line_style
from rankfold.studies._records import Record, Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "tables"]

# One colour for each in all panels; the last two are what the integrators are compared with.
_STYLE = {"fixed": 0, "augmented": 1, "parallel": 2, "plain": 3, "factor-euler": 4}


def _style(integrator: str, **others: Any) -> dict[str, Any]:
    return {**line_style(_STYLE[integrator]), **others}


def _named(rows: list[Record], name: str) -> list[Any]:
    """The values under a name, each once, in order."""
    return sorted({row[name] for row in rows})


def _exactness(axes: "Axes", records: Records) -> None:
    rows = records.found(part="exactness")
    for integrator in _integrators(rows):
        lengths = _named(rows, "h")
        groups = [[r["error"] for r in rows if (r["integrator"], r["h"]) == (integrator, h)] for h in lengths]
        shown = [(h, max(group)) for h, group in zip(lengths, groups, strict=True) if group]
        axes.loglog(*zip(*shown, strict=True), **_style(integrator))
    parallel = [row for row in rows if row["integrator"] == "parallel"]
    if parallel:
        lengths = _named(parallel, "h")
        errors = [max(row["untruncated"] for row in parallel if row["h"] == h) for h in lengths]
        axes.loglog(
            lengths, errors, label="parallel, before truncation", **_style("parallel", markerfacecolor="w")
        )
        _legend(axes)
    axes.set(xlabel="step length h", ylabel="relative error", title="6 exact on constant rank")


def _robustness(axes: "Axes", records: Records) -> None:
    rows = records.found(part="robustness")
    for row in rows:
        dash = ("-", "--", ":", "-.")[_named(rows, "decay").index(row["decay"]) % 4]
        style = _style(row["integrator"], linestyle=dash, marker="")
        label = f"plain, decay {row['decay']:g}" if row["integrator"] == "plain" else None
        axes.semilogy(range(1, len(row["losses"]) + 1), row["losses"], label=label, **style)
    axes.set(xlabel="step", ylabel="relative loss", title="7 small singular values")
    _legend(axes)


def _descent(axes: "Axes", records: Records) -> None:
    rows = records.found(part="descent", loss="quadratic")
    first = [row for row in rows if row["seed"] == rows[0]["seed"]]
    for index, row in enumerate(first):
        label = f"tau {row['tolerance']:g}: {row['rises']} rises"
        scaled = [value / row["losses"][0] for value in row["losses"]]
        axes.semilogy(scaled, label=label, **line_style(index, markers=False))
    axes.set(xlabel="step", ylabel="loss / loss at start", title="8 descent (quadratic)")
    _legend(axes)


def _riemannian(axes: "Axes", records: Records) -> None:
    rows = records.found(part="riemannian")
    for integrator in _integrators(rows):
        chosen = [row for row in rows if row["integrator"] == integrator]
        seeds, errors = [row["seed"] for row in chosen], [row["error"] for row in chosen]
        axes.semilogy(seeds, errors, **_style(integrator, linestyle=""))
    axes.set(xlabel="seed", ylabel="relative distance", title="5 to the Riemannian step")
    axes.set_xticks(sorted({row["seed"] for row in rows}))


def _truncation(axes: "Axes", records: Records) -> None:
    rows = records.found(part="truncation")
    for index, (name, label) in enumerate(
        (("shared", "tau / sqrt(d) per mode"), ("unshared", "tau per mode"))
    ):
        style = {**line_style(index), "linestyle": "", "markersize": 3}
        axes.semilogx([row["tolerance"] for row in rows], [row[name] for row in rows], label=label, **style)
    axes.axhline(1, color="0.5", linewidth=0.8)
    axes.set(xlabel="tolerance tau", ylabel="cut / (tau ||C||)", title="9 truncation", ylim=(-0.1, 2.0))
    _legend(axes)


def _precision(axes: "Axes", records: Records) -> None:
    rows = records.found(part="precision")
    for index, (name, label) in enumerate((("ours", "core in HOSVD form"), ("raw", "generic core"))):
        values = _named(rows, "smallest")
        worst = [max(row[name] for row in rows if row["smallest"] == value) for value in values]
        axes.loglog(values, worst, label=label, **line_style(index))
    axes.set(xlabel="smallest singular value", ylabel="part of the space missed", title="10 float32 bases")
    _legend(axes)


def _growth(axes: "Axes", records: Records) -> None:
    rows = records.found(part="growth")
    for row in rows:
        dash = ("-", "--", ":", "-.")[_named(rows, "tolerance").index(row["tolerance"]) % 4]
        label = f"tau {row['tolerance']:g}" if row["integrator"] == "augmented" else None
        axes.semilogx(
            range(1, len(row["sums"]) + 1),
            row["sums"],
            label=label,
            **_style(row["integrator"], linestyle=dash, marker=""),
        )
    axes.set(xlabel="step + 1", ylabel="sum of ranks", title="11 growth from rank 2")
    _legend(axes)


def _order(axes: "Axes", records: Records) -> None:
    rows = records.found(part="order")
    for integrator in _integrators(rows):
        chosen = [row for row in rows if row["integrator"] == integrator]
        _against_length(axes, chosen, 1.0, **_style(integrator))
    axes.set(xlabel="step length h", ylabel="relative error", title="order 1 to the projected flow")


def _path(axes: "Axes", records: Records) -> None:
    rows = [row for row in records.found(part="path") if row["eps"] == 1e-3]
    for integrator in _integrators(rows):
        for decay in _named(rows, "decay"):
            dash = ("-", "--", ":", "-.")[_named(rows, "decay").index(decay) % 4]
            chosen = [row for row in rows if (row["integrator"], row["decay"]) == (integrator, decay)]
            label = f"Euler on factors, decay {decay:g}" if integrator == "factor-euler" else None
            _against_length(axes, chosen, 1.0, label=label, **_style(integrator, linestyle=dash))
    axes.set(xlabel="step length h", ylabel="error", title="T6 whatever the decay")
    _legend(axes)


def _eps(axes: "Axes", records: Records) -> None:
    rows = records.found(part="path")
    finest = max((row["steps"] for row in rows), default=0)
    largest = max((row["decay"] for row in rows), default=0)
    for integrator in _integrators(rows):
        if integrator == "factor-euler":
            continue
        chosen = [
            (max(row["eps"], 1e-4), row["error"])
            for row in rows
            if (row["integrator"], row["steps"], row["decay"]) == (integrator, finest, largest)
        ]
        if chosen:
            axes.loglog(*zip(*sorted(chosen), strict=True), **_style(integrator))
    axes.set(xlabel="eps (0 shown at 1e-4)", ylabel="error", title="T6 normal component")


def _schedule(axes: "Axes", records: Records) -> None:
    rows = records.found(part="schedule")
    kinds = list(dict.fromkeys((row["factor"], row["power"]) for row in rows))
    for index, (factor, power) in enumerate(kinds):
        chosen = [row for row in rows if (row["factor"], row["power"]) == (factor, power)]
        label = f"tau = {factor:g} h²" if power else f"tau = {factor:g}"
        _against_length(axes, chosen, chosen[0]["time"], label=label, **line_style(index))
    axes.set(xlabel="step length h", ylabel="error", title="T3 truncation against h")
    if rows:
        axes.set_ylim(top=30 * max(row["error"] for row in rows))  # room for the legend
    axes.legend(fontsize=6, ncols=2, loc="upper center")


def _against_length(axes: "Axes", rows: list[Record], time: float, **style: Any) -> None:
    rows = sorted(rows, key=lambda row: row["steps"])
    axes.loglog([time / row["steps"] for row in rows], [row["error"] for row in rows], **style)
    axes.xaxis.set_minor_formatter("")


def _integrators(rows: list[Record]) -> list[str]:
    return [name for name in _STYLE if any(row["integrator"] == name for row in rows)]


def _legend(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6)


_PANELS: dict[str, tuple[str, Callable[["Axes", Records], None]]] = {
    "exactness": ("exactness", _exactness),
    "robustness": ("robustness", _robustness),
    "descent": ("descent", _descent),
    "riemannian": ("riemannian", _riemannian),
    "truncation": ("truncation", _truncation),
    "precision": ("precision", _precision),
    "growth": ("growth", _growth),
    "order": ("order", _order),
    "path": ("path", _path),
    "eps": ("path", _eps),
    "schedule": ("schedule", _schedule),
}


def plot(records: Records, figure: "Figure") -> None:
    """Draw every guarantee that there are records of in its own panel; the last slot says whose colour is whose."""
    figure.set_size_inches(10, 10.5)
    grid = figure.subplots(4, 3).ravel()
    for axes, (part, draw) in zip(grid, _PANELS.values(), strict=False):
        if records.found(lambda case, part=part: case["part"] == part):
            draw(axes, records)
            axes.title.set_fontsize(9)
        else:
            axes.set_axis_off()
    for name in _STYLE:
        label = {"plain": "gradient descent on factors", "factor-euler": "Euler's method on factors"}.get(
            name, name
        )
        grid[-1].plot([], [], label=label, **_style(name))
    grid[-1].set_axis_off()
    grid[-1].legend(loc="center", title="colours in all panels\nwith integrators")


def tables(records: Records) -> list[Table]:
    """One table per guarantee, from what records there are."""
    return [
        Table(
            "Relative error of one step along a path of constant ranks, largest over seeds",
            _pivot(records.found(part="exactness"), "h", "error", "step length h"),
            drawn=True,
        ),
        Table(
            "The same before truncation",
            _pivot(records.found(part="exactness"), "h", "untruncated", "step length h"),
            drawn=True,
        ),
        Table(
            "Distance of a step before truncation to the Riemannian gradient step",
            _pivot(records.found(part="riemannian"), "seed", "error", "seed"),
        ),
        Table(
            "Part of the exact space that float32 bases miss, largest over seeds",
            [
                {
                    "smallest singular value": value,
                    **{
                        heading: max(row[name] for row in records.found(part="precision", smallest=value))
                        for name, heading in (("ours", "core in HOSVD form"), ("raw", "generic core"))
                    },
                }
                for value in _named(records.found(part="precision"), "smallest")
            ],
            drawn=True,
        ),
        Table(
            "Relative loss after the last step, by the decay of the singular values",
            [
                {
                    "method": row["integrator"],
                    "decay": row["decay"],
                    "learning rate": row["rate"],
                    "loss": row["losses"][-1],
                }
                for row in records.found(part="robustness")
            ],
        ),
        Table(
            "Descent: all seeds together",
            [_descent_row(records, loss, tau) for loss, tau in _descents(records)],
        ),
        Table(
            "Error against the projected gradient flow",
            _pivot(records.found(part="order"), "steps", "error", "steps"),
            drawn=True,
        ),
        Table(
            "Error along a path of decaying singular values and a normal component",
            [
                {k: row[k] for k in ("integrator", "decay", "eps", "steps", "error")}
                for row in records.found(part="path")
            ],
        ),
        Table(
            "Ranks and losses from rank 2",
            [
                {k: _text(row[k]) for k in ("integrator", "tolerance", "ranks", "loss")}
                for row in records.found(part="growth")
            ],
        ),
        Table(
            "Error of the augmented integrator with truncation, by tolerance and number of steps",
            [
                {
                    "tolerance": f"{row['factor']:g} h²" if row["power"] else f"{row['factor']:g}",
                    "steps": row["steps"],
                    "error": row["error"],
                    "bound": row["bound"],
                    "ranks": _text(row["ranks"]),
                }
                for row in records.found(part="schedule")
            ],
        ),
    ]


def _text(value: Any) -> Any:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else value


def _pivot(rows: list[Record], by: str, name: str, heading: str) -> list[dict[str, Any]]:
    """One row per value, one column per integrator, the largest of what there is."""
    return [
        {
            heading: value,
            **{
                integrator: max(r[name] for r in rows if (r[by], r["integrator"]) == (value, integrator))
                for integrator in _integrators([row for row in rows if row[by] == value])
            },
        }
        for value in _named(rows, by)
    ]


def _descents(records: Records) -> list[tuple[str, float]]:
    return list(dict.fromkeys((row["loss"], row["tolerance"]) for row in records.found(part="descent")))


def _descent_row(records: Records, loss: str, tolerance: float) -> dict[str, Any]:
    rows = records.found(part="descent", loss=loss, tolerance=tolerance)
    return {
        "loss": loss,
        "tolerance": tolerance,
        "steps": sum(row["steps"] for row in rows),
        "bounds broken": sum(row["violations"] for row in rows),
        "steps with a higher loss": sum(row["rises"] for row in rows),
        "largest rise / loss at start": max(row["largest_rise"] for row in rows),
    }

"""Tables and figure of the study of compression, also of runs that are not complete."""

from typing import TYPE_CHECKING, Any

from rankfold.studies._compression_methods import METHODS
from rankfold.studies._compression_networks import NETWORKS
from rankfold.studies._compression_points import HIGH, Point, accuracy_at, points
from rankfold.studies._compression_published import PUBLISHED, Published
from rankfold.studies._plotting import line_style
from rankfold.studies._records import Records
from rankfold.studies._study import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "tables"]

# Methods that are not in this study, and the numbers of all lines.
_TITLES = {**{method.name: method.title for method in METHODS.values()}, "matrix_dlrt": "matrix DLRT"}
_NUMBERS = {name: number for number, name in enumerate(_TITLES) if name not in ("dense", "matrix_dlrt")}
_NUMBERS["matrix_dlrt"] = 6
_TICKS = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1)  # of the share of parameters kept, in percent


def tables(records: Records) -> list[Table]:
    """For each network a table of points, one of margins and the published ones beside them.

    Arguments:
        records: perhaps partial.

    Returns:
        The tables.
    """
    made = []
    for network in _networks(records):
        found = points(records.found(network=network))
        rows = [_measured(records, point) for point in found]
        made.append(Table(NETWORKS[network].title, rows))
        margins = _margins(found)
        if margins:
            title = (
                f"{NETWORKS[network].title}: TDLRT less the others at its compressions of {HIGH:g} % and more"
            )
            made.append(Table(title, margins))
        made += _published(network)
    return made


def _networks(records: Records) -> list[str]:
    return list(dict.fromkeys(case["network"] for case in records.cases))


def _measured(records: Records, point: Point) -> dict[str, Any]:
    wanted = [
        case
        for case in records.cases
        if (case["network"], case["method"], case["point"]) == (point.network, point.method, point.point)
    ]
    done = records.found(network=point.network, method=point.method, point=point.point)
    return {
        "method": _TITLES[point.method],
        "tolerance": point.point if point.method == "tdlrt" else None,
        "fewer parameters (%)": round(point.compression, 2),
        "accuracy (%)": round(point.accuracy, 2),
        "deviation over seeds": round(point.deviation, 2) if point.seeds > 1 else None,
        "learning rate": point.learning_rate,
        "weight decay": point.weight_decay,
        "seconds": round(point.seconds, 2),
        "diverged": f"{point.diverged} of {point.seeds}",
        "trainings": f"{len(done)} of {len(wanted)}",
    }


def _published(network: str) -> list[Table]:
    """One table for each source of published points."""
    entries = [entry for entry in PUBLISHED if entry.network == network]
    return [
        Table(
            f"{NETWORKS[network].title}, published ({source})",
            [
                {
                    "method": _TITLES[entry.method],
                    "fewer parameters (%)": compression,
                    "accuracy (%)": accuracy,
                }
                for entry in entries
                if entry.source == source
                for compression, accuracy in entry.points
            ],
        )
        for source in dict.fromkeys(entry.source for entry in entries)
    ]


def _margins(found: list[Point]) -> list[dict[str, Any]]:
    """What TDLRT has more than the others, interpolated at its compression; a dash where a method was not run."""
    by_method = {name: [point for point in found if point.method == name] for name in METHODS}
    others = {name: line for name, line in by_method.items() if line and name not in ("tdlrt", "dense")}
    return [
        {
            "tolerance": point.point,
            "fewer parameters (%)": round(point.compression, 2),
            "accuracy (%)": round(point.accuracy, 2),
            "standard error": round(point.error, 2) if point.seeds > 1 else None,
            **{
                _TITLES[name]: round(
                    point.accuracy - accuracy_at([*line, *by_method["dense"]], point.compression), 2
                )
                for name, line in others.items()
            },
        }
        for point in by_method["tdlrt"]
        if point.compression >= HIGH and others
    ]


def plot(records: Records, figure: "Figure") -> None:
    """Accuracy over the parameters kept, a panel for each network; published points are hollow.

    Arguments:
        records: perhaps partial.
        figure: empty.
    """
    networks = _networks(records)
    figure.set_size_inches(max(8.0, 3.2 * len(networks)), 4.2)
    panels = figure.subplots(1, len(networks), squeeze=False)[0] if networks else []
    for network, axes in zip(networks, panels, strict=True):
        found = points(records.found(network=network))
        _draw_measured(axes, found)
        for entry in PUBLISHED:
            if entry.network == network:
                _draw_published(axes, entry)
        axes.set_xscale("log")
        axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        axes.set_xticks([], minor=True)
        axes.set_xlim(*_kept_range(found, network))
        axes.set(title=NETWORKS[network].title, xlabel="parameters kept (%)", ylabel="test accuracy (%)")
    labelled: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        labelled = {**dict(zip(labels, handles, strict=True)), **labelled}
    if labelled:
        names = sorted(labelled, key=lambda label: label.startswith("published"))
        figure.legend([labelled[name] for name in names], names, loc="outside lower center", ncols=4)


def _kept_range(found: list[Point], network: str) -> tuple[float, float]:
    """The axis from most to least, some room at both ends; the dense network is a line and takes none."""
    kept = [100 - point.compression for point in found if point.method != "dense"]
    kept += [
        100 - compression
        for entry in PUBLISHED
        if entry.network == network and entry.method != "dense"
        for compression, _ in entry.points
    ]
    return 1.2 * max(kept, default=100.0), max(min(kept, default=1.0), 0.01) / 1.2


def _draw_measured(axes: "Axes", found: list[Point]) -> None:
    for name in METHODS:
        line = [point for point in found if point.method == name]
        if not line:
            continue
        if name == "dense":
            axes.axhline(line[0].accuracy, color="0.5", linewidth=1.0, label=_TITLES[name])
            continue
        axes.errorbar(
            [100 - point.compression for point in line],
            [point.accuracy for point in line],
            yerr=[point.deviation for point in line],
            label=_TITLES[name],
            capsize=2,
            **line_style(_NUMBERS[name]),
        )


def _draw_published(axes: "Axes", entry: Published) -> None:
    label = f"published: {_TITLES[entry.method]}"
    if entry.method == "dense":
        axes.axhline(entry.points[0][1], color="0.5", linewidth=1.0, linestyle=":", label=label)
        return
    style = {**line_style(_NUMBERS[entry.method]), "linestyle": "none", "markerfacecolor": "none"}
    axes.plot([100 - x for x, _ in entry.points], [y for _, y in entry.points], label=label, **style)

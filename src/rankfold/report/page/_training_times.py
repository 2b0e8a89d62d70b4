"""What a trained network takes in use, dense against now, as it was measured."""

from collections.abc import Iterator

from rankfold.report._quantities import short_milliseconds
from rankfold.report.page._blocks import BarChart, Cell, Fact, Line, Quantity
from rankfold.report.page._training_record import TimesRecord, TrainingRecord

__all__ = [
    "TIME_COLUMNS",
    "network_time",
    "slower_layers",
    "time_cells",
    "time_chart",
    "time_facts",
    "times_note",
]

TIME_COLUMNS = ("ms dense", "ms now", "now / dense")

# Measurements of the same thing differ by a few percent, so less than this is no difference (choice of this library).
_APART = 0.05


def time_facts(record: TrainingRecord) -> Iterator[Fact]:
    """Headlines: the sum of the layers, and the whole network."""
    times = record.times
    if times is None:
        return
    if times.layers:
        dense, now = (sum(pair[side] for pair in times.layers.values()) for side in (0, 1))
        yield _fact("measured time of the layers", dense, now, times)
    yield _fact("measured time of the network", *times.network, times)


def _fact(name: str, dense: float, now: float, times: TimesRecord) -> Fact:
    ratio = now / dense
    if ratio > 1 + _APART:
        judged = f"slower than dense: {ratio:.2f} times the time"
    elif ratio > 1 - _APART:
        judged = "as fast as dense"
    else:
        judged = f"{1 / ratio:.2f} times as fast as dense"
    return Fact(
        name=name,
        value=f"{short_milliseconds(now)} ms",
        twin=f"{short_milliseconds(dense)} ms dense",
        note=f"{judged}; batch {times.batch}, {times.place}",
    )


def time_chart(record: TrainingRecord, names: tuple[str, ...]) -> BarChart | None:
    """Milliseconds of each layer, dense and now; None where nothing was measured.

    Arguments:
        record: the run.
        names: of its layers as they are shown.
    """
    times = record.times
    if times is None or not times.layers:
        return None
    pairs = [times.layers.get(layer.name) for layer in record.layers]
    sides = [tuple(None if pair is None else 1000 * pair[side] for pair in pairs) for side in (0, 1)]
    return BarChart(
        title="Time of each layer",
        description=f"Measured as a dense layer and as the plain layers it folds to, {_where(times)}.",
        label="layer",
        value_label="ms",
        names=names,
        bars=(Line("dense", sides[0]), Line("now", sides[1])),
    )


def time_cells(times: TimesRecord, layer: str) -> tuple[Cell, ...]:
    """Of one layer, below ``TIME_COLUMNS``."""
    if layer not in times.layers:
        return (None, None, None)
    dense, now = times.layers[layer]
    return (
        Quantity(dense, short_milliseconds(dense)),
        Quantity(now, short_milliseconds(now)),
        Quantity(now / dense, f"{now / dense:.2f}"),
    )


def network_time(record: TrainingRecord) -> Quantity | None:
    """Of the whole network now, for a table of runs; None where it was not measured."""
    if record.times is None:
        return None
    now = record.times.network[1]
    return Quantity(now, f"{short_milliseconds(now)} at batch {record.times.batch}")


def times_note(times: TimesRecord | None) -> str:
    """Under what conditions the times hold."""
    if times is None:
        return "Times were not measured."
    versions = ", ".join(f"{name} {value}" for name, value in times.versions.items())
    return f"Times in ms per call, {_where(times)}{f', by {versions}' if versions else ''}; another machine has others."


def slower_layers(record: TrainingRecord) -> Iterator[str]:
    """Which layers were measured to be slower than dense ones, and what it would bring to leave them dense."""
    times = record.times
    if times is None:
        return
    ratios = {name or "the network": now / dense for name, (dense, now) in times.layers.items()}
    slower = {name: ratio for name, ratio in ratios.items() if ratio > 1 + _APART}
    if not slower:
        return
    worst = sorted(slower, key=slower.__getitem__, reverse=True)
    named = ", ".join(f"{name} ({slower[name]:.2f} times the dense time)" for name in worst[:3])
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    dense, now = (sum(pair[side] for pair in times.layers.values()) for side in (0, 1))
    best = sum(min(pair) for pair in times.layers.values())
    yield (
        f"Slower than dense {_where(times)}: {named}{more}. rankfold.fold(model, example_inputs=x) leaves such layers "
        f"dense; all layers would take {short_milliseconds(best)} ms then, {short_milliseconds(now)} ms now, "
        f"{short_milliseconds(dense)} ms dense."
    )


def _where(times: TimesRecord) -> str:
    return f"at batch {times.batch} on {times.place}"

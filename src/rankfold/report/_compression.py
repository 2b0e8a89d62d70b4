"""What a compression did, as tables; all from the plain values of its record."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rankfold.report._quantities import count, milliseconds, ratio
from rankfold.report._tables import empty_table, facts_table, plain, sizes

__all__ = ["compression_report"]


def compression_report(record: Mapping[str, Any]) -> RenderableType:
    """The layers one by one, then the whole network before and after.

    Arguments:
        record: as ``rankfold compress`` writes it.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is no such record.
    """
    done = sum(layer["reason"] is None for layer in record["layers"])
    facts: dict[str, object] = {
        "policy": record["settings"]["policy"],
        "calibration": _calibration(record),
        "layers": f"{done} of {len(record['layers'])} compressed",
    }
    if record["output_change"] is not None:
        facts["outputs"] = f"change by {record['output_change']:.2%} in norm, before any fine-tuning"
    if record["settings"]["finetune_epochs"]:
        facts["fine-tuning"] = _fine_tuning(record["settings"])
    if record["export"] is not None:
        export = record["export"]
        facts["export"] = (
            f"{export['format']}, {export['size_bytes']:,} bytes, largest difference to the network "
            f"{export['relative_difference']:.2g} of its outputs"
        )
    facts["time"] = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in record["seconds"].items())
    layers = [_layers_table(record["layers"]), *_reasons(record["layers"])] if record["layers"] else []
    return Group(*layers, _costs_table(record), facts_table("How", facts))


def _calibration(record: Mapping[str, Any]) -> str:
    if not record["samples"]:
        return "none, errors are those of the weights"
    return f"{record['samples']:,} samples of {record['settings']['calibrate']}"


def _fine_tuning(settings: Mapping[str, Any]) -> str:
    epochs = settings["finetune_epochs"]
    parts = [f"{epochs} epoch{'s' if epochs > 1 else ''}", f"learning rate {settings['learning_rate']:g}"]
    if settings["distillation"]:
        parts.append(f"{settings['distillation']:.0%} of the loss from the network as it was")
    return ", ".join(parts)


def _layers_table(layers: list[Mapping[str, Any]]) -> Table:
    table = empty_table("Layers")
    table.add_column("layer", overflow="fold")
    for name in ("kind", "shape", "modes", "ranks"):
        table.add_column(name, no_wrap=True)
    for name in ("before", "after", "kept", "error", "weighted"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers:
        before, after, reason = layer["parameters_before"], layer["parameters_after"], layer["reason"]
        weighted = layer["weighted_error"]
        table.add_row(
            plain(layer["name"]),
            plain(layer["kind"]),
            sizes(layer["shape"]),
            ",".join(map(str, layer["modes"])),
            sizes(layer["ranks"]) if layer["ranks"] else "",
            f"{before:,}",
            f"{after:,}",
            f"{after / before:.1%}" if before else "",
            f"{layer['error']:.3f}" if reason is None else "",
            f"{weighted:.3f}" if weighted is not None else "",
        )
    return table


def _reasons(layers: list[Mapping[str, Any]]) -> list[Text]:
    """Why layers were left alone: a line for each reason."""
    names: dict[str, list[str]] = {}
    for layer in layers:
        if layer["reason"] is not None:
            names.setdefault(layer["reason"], []).append(layer["name"])
    return [plain(f"  {', '.join(found)}: {reason}.") for reason, found in names.items()] + [Text()]


def _costs_table(record: Mapping[str, Any]) -> Table:
    before, after = record["before"], record["after"]
    table = empty_table("The network, folded to plain layers")
    table.add_column("", no_wrap=True)
    for name in ("before", "after", "after / before"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [
        ("parameters", "parameters", lambda value: f"{value:,}"),
        ("FLOPs per sample", "flops", count),
        (f"ms for {record['settings']['latency_batch']} samples, {record['place']}", "seconds", milliseconds),
        ("bytes of the file", "bytes", lambda value: f"{value:,}"),
    ]
    for name, key, shown in rows:
        table.add_row(name, shown(before[key]), shown(after[key]), ratio(after[key], before[key]))
    if before["accuracy"] is not None:
        change = after["accuracy"] - before["accuracy"]
        table.add_row(
            f"accuracy on {record['test_samples']:,} test samples",
            f"{before['accuracy']:.2%}",
            f"{after['accuracy']:.2%}",
            f"{100 * change:+.2f} points",
        )
    return table

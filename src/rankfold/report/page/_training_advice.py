"""What to do after a training run."""

from collections.abc import Iterator

from rankfold._display import finite
from rankfold.report._tables import sizes
from rankfold.report.page._training_facts import epochs_done, fall_of
from rankfold.report.page._training_record import TrainingRecord
from rankfold.report.page._training_times import slower_layers
from rankfold.report.page._training_trouble import trouble_of

__all__ = ["advice"]

# Choices of this library.
_APART = 0.005  # accuracy within which two runs count as equal; half a point
_FALLING = 0.05  # share by which the loss of an epoch is below the one before, while it still learns
_MOST_KEPT = 0.9  # share of the parameters above which a layer is hardly smaller


def advice(record: TrainingRecord, twin: TrainingRecord | None, path: str) -> Iterator[str]:
    """What the numbers suggest, one sentence each, with the numbers they rest on.

    Arguments:
        record: the run.
        twin: the dense one, if there is one.
        path: folder of the run as it would be typed.
    """
    trouble = trouble_of(record)
    if trouble is not None and trouble.remedies:
        yield from trouble.remedies
        return
    if record.failure is not None:
        yield f"Once what it failed of is mended, go on with: rankfold train --resume {path}"
    elif not record.metrics:
        yield f"No epoch is complete yet; go on with: rankfold train --resume {path}"
    elif not record.complete:
        yield f"{epochs_done(record)} are done; go on with: rankfold train --resume {path}"
    if not record.metrics:
        return
    losses = [finite(line.get("train_loss")) for line in record.metrics[-2:]]
    if len(losses) == 2 and losses[0] and losses[1] is not None and losses[1] < losses[0] * (1 - _FALLING):
        yield (
            f"The training loss still fell in the last epoch, from {losses[0]:.4g} to {losses[1]:.4g}: more --epochs "
            "may help."
        )
    if record.dense:
        yield "This is the dense network; train the same without --dense and compare the two with rankfold report."
        return
    if record.changes and fall_of(record) is not None:
        yield (
            "The network got worse while ranks were cut: a lower --tolerance keeps more of them, more --epochs or a "
            "longer --tolerance-warmup leave it more time to learn in between."
        )
    yield from _against(record, twin)
    yield from slower_layers(record)
    yield from _narrow(record)
    capped = [name for name, changes in record.changes.items() if changes and changes[-1].capped]
    if capped:
        yield (
            f"The tolerance asked for more ranks than there were in {', '.join(capped[:3])}"
            f"{f' and {len(capped) - 3} more' if len(capped) > 3 else ''}: raise --max-rank or --tolerance."
        )
    large = [
        layer
        for layer in record.layers
        if layer.ranks and layer.parameters > _MOST_KEPT * layer.parameters_dense
    ]
    if large:
        yield (
            f"{large[0].name} has ranks {sizes(large[0].ranks or ())} and {large[0].parameters:,} of "
            f"{large[0].parameters_dense:,} parameters: hardly smaller than dense; a higher --tolerance would cut it."
        )


def _narrow(record: TrainingRecord) -> Iterator[str]:
    """Layers through which no more than one number per place passes."""
    names = [
        layer.name
        for layer in record.layers
        if layer.ranks and any(layer.ranks[mode] == 1 < layer.shape[mode] for mode in layer.modes)
    ]
    if names:
        yield (
            f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''} ended at rank 1: where "
            "that costs accuracy start with a higher --rank, lower --tolerance or set --min-rank."
        )


def _against(record: TrainingRecord, twin: TrainingRecord | None) -> Iterator[str]:
    if twin is None:
        yield (
            "There is no dense run beside this one: train it with the same words and --dense, then pass both folders "
            "to rankfold report."
        )
        return
    mine, its = (finite(one.last.get("test_accuracy")) for one in (record, twin))
    if mine is None or its is None:
        return
    apart = f"{mine:.2%} against {its:.2%} of the dense run"
    if mine < its - _APART:
        yield f"The accuracy is {apart}: a lower --tolerance keeps more ranks, more --epochs may do as well."
    else:
        yield f"The accuracy is {apart}: a higher --tolerance would give a smaller network."

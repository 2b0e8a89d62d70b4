"""What went wrong with a training run, and which flags help."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from typing import Any

from rankfold._display import finite
from rankfold.report.page._training_record import TrainingRecord

__all__ = ["Trouble", "trouble_of"]

# Choices of this library: what is within these factors of guessing is no better than it.
_ACCURACY, _LOSS = 2.0, 0.95
_LEARNED = 3.0  # accuracy over that of guessing from which a network had learned something


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a run did not work.

    Arguments:
        what: a sentence with the numbers it rests on.
        remedies: what to try, one sentence each; none where nothing is wrong with the settings.
    """

    what: str
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """A setting far from the usual one.

    Arguments:
        setting: its name.
        far: from its value and the usual one.
        why: what that does.
        tucker: whether it means nothing to a dense network.
    """

    setting: str
    far: Callable[[Any, Any], bool]
    why: str
    tucker: bool = False


def _low(rank: Any, usual: Any) -> bool:
    return rank <= 8 if type(rank) is int else rank < 0.2


# Each was seen to end a run of the demo, and the usual value to mend it.
_CAUSES = (
    _Cause(
        setting="rank", far=_low, why="ranks fall more readily than they grow, so start high", tucker=True
    ),
    _Cause(
        setting="max_rank",
        far=lambda rank, usual: rank is not None and _low(rank, usual),
        why="what a layer passes on has no room",
        tucker=True,
    ),
    _Cause(
        setting="tolerance",
        far=lambda tolerance, usual: tolerance > 2 * usual,
        why="so much is cut that little is left",
        tucker=True,
    ),
    _Cause(
        setting="weight_decay",
        far=lambda decay, usual: decay > 10 * usual,
        why="it draws the weights to zero faster than they learn",
    ),
    _Cause(
        setting="epochs",
        far=lambda epochs, usual: epochs < usual,
        why="the learning rate rises and falls more slowly then, and there are more steps",
    ),
    _Cause(
        setting="momentum",
        far=lambda momentum, usual: momentum > usual,
        why="old gradients count for so long that steps overshoot",
    ),
    _Cause(
        setting="learning_rate",
        far=lambda rate, usual: rate > usual,
        why="steps are so long that they leave the region where the gradient holds",
    ),
    _Cause(
        setting="learning_rate",
        far=lambda rate, usual: rate < usual / 10,
        why="steps are so short that little is learned",
    ),
)


def trouble_of(record: TrainingRecord) -> Trouble | None:
    """What went wrong with a run; None where nothing is known to have."""
    if record.failure is not None:
        what = f"the training failed in epoch {record.failure.epoch}: {record.failure.sentence}."
        return Trouble(what, tuple(_remedies(record, began_well=True)) if record.failure.diverged else ())
    losses = (finite(record.last.get(name)) for name in ("train_loss", "test_loss"))
    if record.metrics and None in losses:
        return Trouble("the loss is no finite number any more.", tuple(_remedies(record, began_well=True)))
    return _guessing(record)


def _guessing(record: TrainingRecord) -> Trouble | None:
    """Whether the network is no better than a guess, at the end or after it had been."""
    if record.classes is None or not record.metrics:
        return None
    chance, entropy = 1 / record.classes, log(record.classes)
    accuracies = [finite(line.get("test_accuracy")) or 0.0 for line in record.metrics]
    loss = finite(record.last.get("train_loss")) or 0.0
    best = max(accuracies)
    learned = best >= _LEARNED * chance
    if accuracies[-1] > _ACCURACY * chance or loss < _LOSS * entropy or not (record.complete or learned):
        return None
    before = (
        f" It had learned and fell back: {best:.2%} after epoch {accuracies.index(best) + 1}."
        if learned
        else ""
    )
    return Trouble(
        f"the network only guesses: {accuracies[-1]:.2%} of {record.classes} classes are right, and the training "
        f"loss is {loss:.4g}, where guessing has {entropy:.4g}.{before}",
        tuple(_remedies(record, began_well=learned)),
    )


def _remedies(record: TrainingRecord, *, began_well: bool) -> Iterator[str]:
    """The usual value of each setting that is far from it; shorter steps where none explains it."""
    rate, known = record.settings["learning_rate"], set()
    for cause in _CAUSES:
        value, usual = (of.get(cause.setting) for of in (record.settings, record.usual))
        if (
            cause.setting not in record.usual
            or (cause.tucker and record.dense)
            or not cause.far(value, usual)
        ):
            continue
        known.add(cause.setting)
        flag = cause.setting.replace("_", "-")
        advised = (
            f"without --{flag} {value:g}"
            if usual is None
            else f"with --{flag} {usual:g} instead of {value:g}"
        )
        yield f"Start again {advised}: {cause.why}."
    if known <= {"epochs"} and (began_well or not known):
        yield f"Start again with --learning-rate {rate / 2:g} instead of {rate:g}: steps may be too long for it."
